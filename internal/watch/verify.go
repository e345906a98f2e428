package watch

import (
	"bytes"
	"maps"
	"os"
	"slices"

	"go.uber.org/zap"

	"scout/internal/files"
)

// fewNames is how many names are examined one by one whatever the size of their
// directory. Of more, listing the directory may be cheaper.
const fewNames = 512

// follow examines what the findings name.
func (t *tree) follow(f findings) {
	t.commit()
	t.step++
	begin := t.step
	for _, path := range slices.Sorted(maps.Keys(f.names)) {
		d := t.root.find(path)
		if d == nil || d.listed >= begin {
			continue // not ours any more, or listed after the events
		}
		if n := len(f.names[path]); n > 0 && (n <= fewNames || n < int(d.entries)/4) {
			t.examineNames(d, f.names[path])
		} else {
			t.examineAll(d)
		}
	}
}

// examineAll examines every entry of d.
func (t *tree) examineAll(d *directory) {
	t.relist(d)
	for _, sub := range slices.Clone(d.subs) {
		t.verify(sub)
	}
}

// verify finds a change in d that no event told, with one stat if there is none.
func (t *tree) verify(d *directory) {
	if d.detached {
		return
	}
	t.buffer = append(d.appendPath(t.buffer[:0]), 0) // stat needs the room
	now, err := t.disk.stat(t.buffer[:len(t.buffer)-1])
	switch {
	case err != nil:
		t.missed(d, err)
	case !now.dir:
		t.missed(d, os.ErrNotExist)
	case t.isReplaced(d, now.stamp()):
		t.replace(d)
	case now.stamp() != d.stamp || d.trust < t.needed(d):
		t.relist(d)
	}
}

// examineNames examines some entries of d.
func (t *tree) examineNames(d *directory, names map[string]change) {
	if t.flaws[d].err != nil {
		t.relist(d)
		return
	}
	path := d.path()
	f, err := t.disk.open(path)
	if err != nil {
		t.missed(d, err)
		return
	}
	defer f.close()
	now, err := f.stat()
	switch {
	case err != nil:
		t.missed(d, err)
		return
	case t.isReplaced(d, now.stamp()):
		t.replace(d)
		return
	}
	t.touch(d)
	for name, c := range names {
		if err := t.examineName(d, f, name, c); err != nil {
			t.examineAll(d)
			return
		}
	}
	if !t.isPolled(d) && d.trust != trustNothing { // what changed before now is what the events tell
		d.stamp, d.trust = now.stamp(), trustEvents
	}
}

// examineName examines one entry of d. Its error says that a listing may tell
// more.
func (t *tree) examineName(d *directory, f opened, name string, c change) error {
	path := append(d.appendPrefix(t.buffer[:0]), name...)
	t.buffer = path
	if t.forest.excludes.match(string(path)) {
		return nil
	}
	if t.isMountPoint(d, name) {
		return nil
	}
	now, err := f.statName(name)
	gone := isGone(err)
	switch {
	case err != nil && !gone:
		return err
	case !gone && tooLong(len(path), now.dir):
		return errNameTooLong
	}
	if isFile := !gone && !now.dir; t.set.Contains(path) != isFile {
		t.change(d, path, isFile)
	}
	switch sub := d.sub(name); {
	case !now.dir && sub != nil:
		t.drop(sub)
	case now.dir && sub == nil && t.forest.recursive:
		t.grow(d, name)
	case now.dir && sub != nil && (c&movedHere != 0 || now.born == 0 || now.identity() != sub.stamp.id):
		// Even if it is the same, its watch may have gone astray meanwhile.
		t.replace(sub)
	}
	return nil
}

// isMountPoint reports whether the name is another tree's. The mount may be new.
func (t *tree) isMountPoint(d *directory, name string) bool {
	if !t.forest.points().has(d.path(), name) {
		return false
	}
	if sub := d.sub(name); sub != nil {
		t.drop(sub)
	}
	return true
}

// missed handles that d could not be examined.
func (t *tree) missed(d *directory, err error) {
	switch {
	case isShortage(err):
		// Examine it again at the next poll, and believe what is known until then.
		d.trust, t.short = trustNothing, true
		t.limits.warn("directory not looked at", t.field(d), zap.Error(err))
	case d.parent == nil && isGone(err):
		t.suspect = true
	case isGone(err):
		t.examineNames(d.parent, map[string]change{d.name: 0})
	default:
		t.deny(d, err)
	}
}

// deny notes that d cannot be listed, for as long as that is so.
func (t *tree) deny(d *directory, err error) {
	if d.parent == nil {
		t.suspect = true
	}
	t.strip(d)
	t.update(d, &reading{listing: &listing{}, stamp: d.stamp, err: err})
}

// grow makes a subdirectory of d known that was not.
func (t *tree) grow(d *directory, name string) {
	sub := &directory{name: name, parent: d}
	err := t.scan(sub, func(d *directory, name []byte) { t.change(d, name, true) })
	if err == nil {
		d.attach(sub)
	}
}

// isReplaced reports whether what is seen at the place of d is another
// directory. The tree's own directory is checked elsewhere.
func (t *tree) isReplaced(d *directory, now stamp) bool {
	return d.parent != nil && now.id != d.stamp.id
}

// replace takes what is at the place of d for another directory.
func (t *tree) replace(d *directory) {
	t.drop(d)
	t.grow(d.parent, d.name)
}

// relist lists d, which is known, and notes what is different.
func (t *tree) relist(d *directory) {
	r := t.read(d.path())
	defer r.release()
	switch {
	case r.err != nil:
		t.missed(d, r.err)
	case t.isReplaced(d, r.stamp):
		t.replace(d)
	default:
		t.touch(d)
		t.update(d, r)
		t.compareFiles(d, r.listing)
		t.compareSubs(d, r.listing)
	}
}

func (t *tree) compareFiles(d *directory, l *listing) {
	k := knownFiles(t.set, d)
	more := k.next()
	name := k.prefix
	for _, e := range l.entries {
		if e.sub {
			continue
		}
		name = append(name[:len(k.prefix)], l.name(e)...)
		for more && bytes.Compare(k.name(), name) < 0 {
			t.change(d, k.name(), false)
			more = k.next()
		}
		if more && bytes.Equal(k.name(), name) {
			more = k.next()
		} else {
			t.change(d, name, true)
		}
	}
	for ; more; more = k.next() {
		t.change(d, k.name(), false)
	}
}

func (t *tree) compareSubs(d *directory, l *listing) {
	var gone []*directory
	var found []string
	rest := d.subs
	for _, e := range l.entries {
		if !e.sub {
			continue
		}
		name := string(l.name(e)[:e.size-1])
		for len(rest) > 0 && compareDirectories(rest[0].name, name) < 0 {
			gone, rest = append(gone, rest[0]), rest[1:]
		}
		if len(rest) > 0 && rest[0].name == name {
			rest = rest[1:]
		} else {
			found = append(found, name)
		}
	}
	for _, sub := range append(gone, rest...) {
		t.drop(sub)
	}
	for _, name := range found {
		t.grow(d, name)
	}
}

// known reads the files of one directory, without those further below, out of a
// Set.
type known struct {
	cursor *files.Cursor
	prefix []byte
	skip   []byte // scratch
}

func knownFiles(s *files.Set, d *directory) *known {
	k := &known{cursor: s.Cursor(), prefix: d.appendPrefix(nil)}
	k.cursor.Seek(k.prefix)
	return k
}

// name returns the whole name of the current file, valid until next is called.
func (k *known) name() []byte { return k.cursor.Name() }

func (k *known) next() bool {
	for k.cursor.Next() {
		name := k.cursor.Name()
		if !bytes.HasPrefix(name, k.prefix) {
			return false
		}
		slash := bytes.IndexByte(name[len(k.prefix):], '/')
		if slash < 0 {
			return true
		}
		k.skip = append(append(k.skip[:0], name[:len(k.prefix)+slash]...), '/'+1)
		k.cursor.Seek(k.skip)
	}
	return false
}
