package index

import "bytes"

// Merger reads several Indexes as one list, in order of name and owner:
//
//	for m := index.NewMerger(order, a, b, c); m.Next(); {
//		use(m.Name(), m.Owner())
//	}
//
// It is a tournament: of the inputs, each with its next entry, the least is at
// the root of a heap. An input whose entries lie together is read without
// touching the heap; k inputs that interleave cost log2(k) comparisons an entry.
type Merger struct {
	order  Order
	inputs []*Cursor
	heap   []*Cursor // each at an entry; the least first
	second *Cursor   // the least but one, or nil
	fresh  bool      // the least entry was not yet returned by Next
}

// NewMerger returns a Merger before the first entry of all indexes.
func NewMerger(order Order, indexes ...*Index) *Merger {
	return NewMergerOf(order, nil, indexes...)
}

// NewMergerOf is NewMerger for a reader who is interested in some owners only,
// those that want reports. It passes over the entries of others where that is
// cheap: where they have a block to themselves.
func NewMergerOf(order Order, want func(owner uint32) bool, indexes ...*Index) *Merger {
	m := &Merger{order: order}
	for _, ix := range indexes {
		if ix.len > 0 {
			c := &Cursor{want: want}
			c.Reset(ix)
			m.inputs = append(m.inputs, c)
		}
	}
	m.fill()
	return m
}

// Seek moves to stand before the first entry whose name is name or sorts
// after it.
func (m *Merger) Seek(name []byte) {
	for _, c := range m.inputs {
		c.Seek(name)
	}
	m.fill()
}

// fill makes the heap of the inputs' next entries.
func (m *Merger) fill() {
	m.heap, m.fresh = m.heap[:0], true
	for _, c := range m.inputs {
		if c.Next() {
			m.heap = append(m.heap, c)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	m.second = m.runnerUp()
}

// Next moves to the next entry and reports whether there is one.
func (m *Merger) Next() bool {
	if m.fresh || len(m.heap) == 0 {
		m.fresh = false
		return len(m.heap) > 0
	}
	if top := m.heap[0]; !top.Next() {
		m.pop()
	} else if m.second == nil || !m.less(m.second, top) {
		return true
	}
	m.down(0)
	m.second = m.runnerUp()
	return len(m.heap) > 0
}

// Name returns the current entry's name. It is valid until the Merger moves.
func (m *Merger) Name() []byte { return m.heap[0].name }

// Owner returns the current entry's owner.
func (m *Merger) Owner() uint32 { return m.heap[0].owner }

func (m *Merger) less(a, b *Cursor) bool {
	return m.order.compare(a.name, a.owner, b.name, b.owner) < 0
}

// down restores the heap's order below i.
func (m *Merger) down(i int) {
	for {
		least := 2*i + 1
		if least >= len(m.heap) {
			return
		}
		if right := least + 1; right < len(m.heap) && m.less(m.heap[right], m.heap[least]) {
			least = right
		}
		if !m.less(m.heap[least], m.heap[i]) {
			return
		}
		m.heap[i], m.heap[least] = m.heap[least], m.heap[i]
		i = least
	}
}

func (m *Merger) pop() {
	last := len(m.heap) - 1
	m.heap[0] = m.heap[last]
	m.heap = m.heap[:last]
}

// runnerUp returns the least entry but one, or nil.
func (m *Merger) runnerUp() *Cursor {
	switch len(m.heap) {
	case 0, 1:
		return nil
	case 2:
		return m.heap[1]
	}
	if m.less(m.heap[2], m.heap[1]) {
		return m.heap[2]
	}
	return m.heap[1]
}

// Merge makes one Index of several, leaving out the owners that keep does not
// want. Blocks that no other input reaches into are shared as they are. No
// entry may be in two of the indexes.
func Merge(order Order, keep func(owner uint32) bool, indexes ...*Index) *Index {
	m := NewMerger(order, indexes...)
	b := Builder{slabs: min(slabSize, sizeOf(indexes))}
	for len(m.heap) > 0 {
		c := m.heap[0]
		if bl, ok := m.whole(c, keep); ok {
			b.addBlock(bl)
			c.left = 0
		} else if keep(c.owner) {
			b.Add(c.name, c.owner)
		}
		m.fresh = false
		m.Next()
	}
	return b.Index()
}

func sizeOf(indexes []*Index) (size int) {
	for _, ix := range indexes {
		size += ix.size
	}
	return size
}

// whole returns the block whose first entry is the current one, when all of it
// comes before any other input and has one owner who is to be kept.
func (m *Merger) whole(c *Cursor, keep func(uint32) bool) (bl block, ok bool) {
	bl = c.ix.leaves[c.leaf].blocks[c.block]
	if c.left != bl.n-1 || bl.owner == mixed || !keep(bl.owner) {
		return bl, false
	}
	if m.second == nil {
		return bl, true
	}
	next := c.following()
	return bl, next != nil && bytes.Compare(next, m.second.name) < 0
}
