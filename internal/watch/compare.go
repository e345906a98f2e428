package watch

import (
	"bytes"

	"scout/internal/files"
)

// relist lists d, which is known, watches it again if asked to, and notes what
// is different.
func (t *tree) relist(d *directory, watch bool) {
	d.stirs++
	r := t.read(string(d.appendPath(nil)), watch)
	defer r.release()
	switch {
	case r.err != nil:
		t.missed(d, r.err)
	case t.replaced(d, r.stamp):
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
	var fresh []string
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
			fresh = append(fresh, name)
		}
	}
	for _, sub := range append(gone, rest...) {
		t.drop(sub)
	}
	for _, name := range fresh {
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
