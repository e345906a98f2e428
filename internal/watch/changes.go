package watch

import (
	"bytes"
	"slices"

	"scout/internal/files"
)

// Beyond these bounds changes are applied before more are gathered, so that a
// tree of millions of files can come or go in bounded memory.
const (
	maxChanges     = 1 << 17
	maxChangeBytes = 8 << 20
)

// changes gathers names that came and went since the Set. Each name was looked
// at once, except that those of a directory that was replaced by another one
// went first and may have come again.
type changes struct {
	names   []byte
	added   []span
	removed []span
}

// span is where a name is among the names.
type span struct{ at, end int }

func (c *changes) add(name []byte)    { c.added = append(c.added, c.keep(name)) }
func (c *changes) remove(name []byte) { c.removed = append(c.removed, c.keep(name)) }
func (c *changes) empty() bool        { return len(c.names) == 0 }

func (c *changes) full() bool {
	return len(c.added)+len(c.removed) >= maxChanges || len(c.names) >= maxChangeBytes
}

func (c *changes) keep(name []byte) span {
	at := len(c.names)
	c.names = append(c.names, name...)
	return span{at, len(c.names)}
}

// take returns what was gathered as a Delta and forgets it.
func (c *changes) take() files.Delta {
	c.sort(c.added)
	c.sort(c.removed)
	var added, removed files.Builder
	a, r := c.added, c.removed
	for len(a) > 0 || len(r) > 0 {
		switch order := c.order(a, r); {
		case order < 0:
			added.Add(c.name(a[0]))
			a = a[1:]
		case order > 0:
			removed.Add(c.name(r[0]))
			r = r[1:]
		default: // went and came
			a, r = a[1:], r[1:]
		}
	}
	c.reset()
	return files.Delta{Removed: removed.Set(), Added: added.Set()}
}

// order compares the first names of a and r; an empty list sorts last.
func (c *changes) order(a, r []span) int {
	switch {
	case len(r) == 0:
		return -1
	case len(a) == 0:
		return 1
	}
	return bytes.Compare(c.name(a[0]), c.name(r[0]))
}

func (c *changes) sort(s []span) {
	compare := func(a, b span) int { return bytes.Compare(c.name(a), c.name(b)) }
	if !slices.IsSortedFunc(s, compare) {
		slices.SortFunc(s, compare)
	}
}

func (c *changes) name(s span) []byte { return c.names[s.at:s.end] }

// reset keeps small buffers and gives large ones back.
func (c *changes) reset() {
	if c.full() || cap(c.names) > maxChangeBytes/8 {
		*c = changes{}
		return
	}
	c.names, c.added, c.removed = c.names[:0], c.added[:0], c.removed[:0]
}

// commit makes the changes known: in the one Set of all trees, and from there in
// this tree's.
func (t *tree) commit() {
	if t.changes.empty() {
		return
	}
	t.step++
	delta := t.changes.take()
	if delta.Empty() {
		return // the same came again
	}
	set, err := t.forest.apply(t, delta)
	if err != nil {
		t.broken = err
		return
	}
	t.set = set
}

// change notes that a file of d came or went. One whose directory changed
// before must not be examined again until that is in the Set: see touch.
func (t *tree) change(d *directory, name []byte, present bool) {
	d.touched = t.step
	if present {
		t.changes.add(name)
	} else {
		t.changes.remove(name)
	}
	if t.changes.full() {
		t.commit()
	}
}

// touch is called before the files of d are compared with the Set.
func (t *tree) touch(d *directory) {
	if d.touched == t.step {
		t.commit()
	}
}
