package listing

import (
	"bytes"
	"cmp"

	"scout/internal/files"
	"scout/internal/index"
)

// Changes is the difference between two revisions of a Listing.
type Changes struct {
	// Revision is the later one.
	Revision uint64

	layers []layer // oldest first
}

// layer is some names of one source that all came or all went.
type layer struct {
	source *Source
	names  *index.Index
	added  bool
}

// changesMost is how many revisions Changes reach over: each costs a cursor to
// read.
const changesMost = 1024

// Since returns what changed after a revision, up to the current one or some
// revision before it, in the files of the origins that are selected. It is not
// ok when that is not known: then only the whole list says more.
func (l *Listing) Since(revision uint64, selected func(files.Origin) bool) (c *Changes, ok bool) {
	return l.after(revision, changesMost, selected)
}

// Between is Since up to a later revision that Since went up to once.
func (l *Listing) Between(earlier, later uint64, selected func(files.Origin) bool) (c *Changes, ok bool) {
	if later < earlier || later-earlier > changesMost {
		return nil, false
	}
	c, ok = l.after(earlier, int(later-earlier), selected)
	return c, ok && c.Revision == later
}

// after returns the changes of the next revisions after one, at most so many.
func (l *Listing) after(revision uint64, most int, selected func(files.Origin) bool) (c *Changes, ok bool) {
	moments, ok := l.history.since(revision, most)
	if !ok {
		return nil, false
	}
	c, whole := changesOf(moments, selected)
	if !whole {
		l.resolve()
		if moments, ok = l.history.since(revision, len(moments)); !ok {
			return nil, false
		}
		c, whole = changesOf(moments, selected)
	}
	c.Revision = revision + uint64(len(moments))
	return c, whole
}

// changesOf returns the changes of the selected origins, and whether none of
// their names is lacking.
func changesOf(moments []moment, selected func(files.Origin) bool) (c *Changes, whole bool) {
	c, whole = new(Changes), true
	add := func(p *part, added bool) {
		if p.source != nil && selected(p.source.Origin) {
			c.layers = append(c.layers, layer{p.source, p.names, added})
			whole = whole && !p.lacking()
		}
	}
	for i := range moments {
		add(&moments[i].removed, false)
		add(&moments[i].added, true)
	}
	return c, whole
}

// Removed returns a reader of the entries that are there no more.
func (c *Changes) Removed() *Difference { return c.difference(false) }

// Added returns a reader of the entries that were not there before.
func (c *Changes) Added() *Difference { return c.difference(true) }

// Difference reads the entries that came, or those that went, in the order of
// the list:
//
//	for d := c.Added(); d.Next(); {
//		use(d.Name(), d.Source())
//	}
type Difference struct {
	layers []layer
	added  bool
	merger *index.Merger // of the layers, their numbers being the owners
	more   bool          // merger stands at an entry
	name   []byte
	layer  *layer
}

func (c *Changes) difference(added bool) *Difference {
	d := &Difference{layers: c.layers, added: added}
	if !c.any(added) {
		return d
	}
	inputs := make([]*index.Index, len(c.layers))
	for i := range c.layers {
		inputs[i] = c.layers[i].names.Owned(uint32(i))
	}
	d.merger = index.NewMerger(d.order, inputs...)
	d.more = d.merger.Next()
	return d
}

// any reports whether there may be a difference.
func (c *Changes) any(added bool) bool {
	for i := range c.layers {
		if c.layers[i].added == added {
			return true
		}
	}
	return false
}

// order puts the layers of one origin in the order of time.
func (d *Difference) order(a, b uint32) int {
	return cmp.Or(d.layers[a].source.Origin.Compare(d.layers[b].source.Origin), cmp.Compare(a, b))
}

// Next moves to the next entry and reports whether there is one.
func (d *Difference) Next() bool {
	for d.more {
		first, last := d.entry()
		if first.added == d.added && last.added == d.added {
			d.layer = last
			return true
		}
	}
	return false
}

// entry reads one entry, in whose layers it has come and gone in turn, and
// returns the first and the last of them.
func (d *Difference) entry() (first, last *layer) {
	first = &d.layers[d.merger.Owner()]
	d.name = append(d.name[:0], d.merger.Name()...)
	for last = first; ; last = &d.layers[d.merger.Owner()] {
		d.more = d.merger.Next()
		if !d.more || !bytes.Equal(d.merger.Name(), d.name) || d.layers[d.merger.Owner()].source.Origin != first.source.Origin {
			return first, last
		}
	}
}

// Seek moves to stand before the first entry whose name is name or sorts after
// it.
func (d *Difference) Seek(name []byte) {
	if d.merger != nil {
		d.merger.Seek(name)
		d.more = d.merger.Next()
	}
}

// Name returns the current entry's name. It is valid until the reader moves.
func (d *Difference) Name() []byte { return d.name }

// Source returns whose the current entry is, or was.
func (d *Difference) Source() *Source { return d.layer.source }
