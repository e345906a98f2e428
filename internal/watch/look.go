package watch

import (
	"maps"
	"os"
	"slices"

	"go.uber.org/zap"
)

// fewNames is how many names are looked at one by one whatever the size of
// their directory. Of more, listing the directory may be cheaper.
const fewNames = 512

// follow looks where the findings say.
func (t *tree) follow(f findings) {
	t.commit()
	t.step++
	begin := t.step
	for _, path := range slices.Sorted(maps.Keys(f.names)) {
		d := t.root.find(path)
		if d == nil || d.listed >= begin {
			continue // not ours any more, or read after the findings were made
		}
		t.followIn(d, f.names[path])
	}
}

func (t *tree) followIn(d *directory, names map[string]bool) {
	if n := len(names); n > 0 && (n <= fewNames || n < int(d.entries)/4) {
		t.lookAtNames(d, names)
		return
	}
	t.lookAtAll(d)
}

// lookAtAll looks at every entry of d.
func (t *tree) lookAtAll(d *directory) {
	t.relist(d, false)
	for _, sub := range slices.Clone(d.subs) {
		t.look(sub)
	}
}

// look sees whether anything changed in d that no hint told, with one stat when
// nothing did.
func (t *tree) look(d *directory) {
	if d.detached {
		return
	}
	now, isDir, err := t.glance(d)
	switch {
	case err != nil:
		t.missed(d, err)
	case !isDir:
		t.missed(d, os.ErrNotExist)
	case t.replaced(d, now):
		t.replace(d)
	case now != d.stamp || t.suspect(d):
		t.relist(d, d.watch != 0 || t.canWatch(d))
	}
}

// glance stats d: through its anchor, as long as the entries of its parent have
// had no reason to be looked at since d was seen at its path. It can have been
// moved or replaced only if they changed, or those of a directory further up,
// and then it is not known under this path any more.
func (t *tree) glance(d *directory) (stamp, bool, error) {
	if d.parent != nil && d.anchor > 0 && d.anchored == d.parent.stirs {
		return d.anchor.stat()
	}
	t.path = d.appendPath(t.path[:0])
	now, isDir, err := t.disk.stat(t.path)
	if err == nil && now == d.stamp && isDir && d.parent != nil {
		d.anchored = d.parent.stirs
		if d.anchor == noAnchor && !d.remote {
			d.anchor = t.anchors.drop(t.disk, t.path, d.stamp.identity)
		}
	}
	return now, isDir, err
}

// suspect reports whether d may have changed although its stamp has not, or
// could be known better than it is.
func (t *tree) suspect(d *directory) bool {
	return d.racy || d.denied || (d.hinted && t.doubt) || (d.remote && t.asked) || t.canWatch(d)
}

// lookAtNames looks at some entries of d, and whether something was moved there.
func (t *tree) lookAtNames(d *directory, names map[string]bool) {
	if d.denied {
		t.relist(d, true)
		return
	}
	f, err := t.disk.open(string(d.appendPath(nil)))
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
	case t.replaced(d, now):
		t.replace(d)
		return
	}
	t.touch(d)
	d.stirs++
	for name, moved := range names {
		if err := t.lookAtName(d, f, name, moved); err != nil {
			t.lookAtAll(d)
			return
		}
	}
	if !t.isPolled(d) { // what changed before now is what the hints tell
		d.stamp, d.hinted = now, true
	}
}

// lookAtName looks at one entry of d. Its error says that a listing may tell
// more.
func (t *tree) lookAtName(d *directory, f opened, name string, moved bool) error {
	path := append(d.appendPrefix(t.path[:0]), name...)
	t.path = path
	if t.excludes.match(string(path)) {
		return nil
	}
	now, isDir, err := f.statName(name)
	gone := isGone(err)
	switch {
	case err != nil && !gone:
		return err
	case !gone && tooLong(len(path), isDir):
		return errNameTooLong
	}
	if isFile := !gone && !isDir; t.set.Contains(path) != isFile {
		t.change(d, path, isFile)
	}
	switch sub := d.sub(name); {
	case !isDir && sub != nil:
		t.drop(sub)
	case isDir && sub == nil && t.recursive:
		t.grow(d, name)
	case isDir && sub != nil && (moved || now.born == 0 || now.identity != sub.stamp.identity):
		// Even if it is the same, its watch may have gone astray meanwhile.
		t.replace(sub)
	}
	return nil
}

// missed handles that d could not be looked at.
func (t *tree) missed(d *directory, err error) {
	switch {
	case isShortage(err):
		d.racy, t.short = true, true // look again at the next poll, and believe what is known until then
		t.limits.warn("directory not looked at", t.field(d), zap.Error(err))
	case d.parent == nil:
		t.astray = true
	case isGone(err):
		t.lookAtNames(d.parent, map[string]bool{d.name: false})
	default:
		t.deny(d, err)
	}
}

// deny notes that d cannot be read, for as long as that is so.
func (t *tree) deny(d *directory, err error) {
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

// replaced reports whether what is seen at the place of d is another directory.
// The watched one itself is always reached through its own descriptor.
func (t *tree) replaced(d *directory, now stamp) bool {
	return d.parent != nil && now.identity != d.stamp.identity
}

// replace takes what is at the place of d for another directory.
func (t *tree) replace(d *directory) {
	t.drop(d)
	t.grow(d.parent, d.name)
}
