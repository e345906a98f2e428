package listing

import (
	"bytes"
	"cmp"

	"scout/internal/files"
	"scout/internal/index"
)

// Changes is the difference between two revisions of a Listing.
type Changes struct {
	// Epoch is the epoch of both revisions.
	Epoch uint64
	// Revision is the later one.
	Revision uint64

	layers []layer // oldest first
}

// layer is some names of one source that were all added or all removed.
type layer struct {
	source *Source
	names  *index.Index
	added  bool
}

// changesMost is the maximum number of layers in Changes, unless one revision has
// more. Reading needs a cursor for each layer.
const changesMost = 1024

// Since returns the changes of the selected origins after a revision, up to the
// current revision or an earlier one. It returns false if the history does not have
// them: then only the whole list is an answer.
func (l *Listing) Since(revision uint64, selected func(files.Origin) bool) (c *Changes, ok bool) {
	return l.changes(revision, l.Current().Revision, selected)
}

// Between is Since up to a later revision that Since has returned before.
func (l *Listing) Between(earlier, later uint64, selected func(files.Origin) bool) (c *Changes, ok bool) {
	c, ok = l.changes(earlier, later, selected)
	return c, ok && c.Revision == later
}

func (l *Listing) changes(earlier, later uint64, selected func(files.Origin) bool) (*Changes, bool) {
	c, parts, ok := l.between(earlier, later, changesMost)
	if ok && !c.take(parts, selected) {
		l.resolve()
		c, parts, ok = l.between(earlier, c.Revision, len(parts))
		ok = ok && c.take(parts, selected)
	}
	return &c, ok
}

// take makes layers from the parts of the selected origins. It reports whether the
// names of all of them are known.
func (c *Changes) take(parts []part, selected func(files.Origin) bool) (whole bool) {
	c.layers = make([]layer, 0, len(parts))
	for i := range parts {
		p := &parts[i]
		if !selected(p.source.Origin) {
			continue
		}
		if p.lacking() {
			return false
		}
		c.layers = append(c.layers, layer{p.source, p.names, p.added})
	}
	return true
}

// Removed returns a reader of the removed entries.
func (c *Changes) Removed() *Difference { return c.difference(false) }

// Added returns a reader of the added entries.
func (c *Changes) Added() *Difference { return c.difference(true) }

// Difference reads the added or the removed entries in the order of the list:
//
//	for d := c.Added(); d.Next(); {
//		use(d.Name(), d.Source())
//	}
type Difference struct {
	layers []layer
	added  bool
	merger *index.Merger // of the layers; an owner is the number of a layer
	more   bool          // merger is at an entry
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

// order sorts layers by origin, then by time.
func (d *Difference) order(a, b uint32) int {
	return cmp.Or(d.layers[a].source.Origin.Compare(d.layers[b].source.Origin), cmp.Compare(a, b))
}

// Next moves to the next entry, and reports whether there is one.
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

// entry reads the next name with all its layers, in which it was added and removed
// in turn. It returns the first and the last of them.
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

// Seek moves before the first entry whose name is name or sorts after it.
func (d *Difference) Seek(name []byte) {
	if d.merger != nil {
		d.merger.Seek(name)
		d.more = d.merger.Next()
	}
}

// Name returns the current entry's name. It is valid until the reader moves.
func (d *Difference) Name() []byte { return d.name }

// Source returns the source that added or removed the current entry.
func (d *Difference) Source() *Source { return d.layer.source }
