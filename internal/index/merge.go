package index

import "bytes"

// Merger reads several Indexes as one list, in order of name and owner:
//
//	for m := index.NewMerger(order, a, b, c); m.Next(); {
//		use(m.Name(), m.Owner())
//	}
//
// It keeps the inputs in a heap, sorted by their next entries. A run of entries
// from one input does not touch the heap; k interleaved inputs take log2(k)
// comparisons for each entry.
type Merger struct {
	order  Order
	inputs []*Cursor
	heap   []*Cursor // each at an entry; the smallest first
	second *Cursor   // the second smallest, or nil
	fresh  bool      // Next has not yet returned the smallest entry
}

// NewMerger returns a Merger before the first entry of all indexes.
func NewMerger(order Order, indexes ...*Index) *Merger {
	return NewMergerOf(order, nil, indexes...)
}

// NewMergerOf is NewMerger for a reader of some owners only. It skips blocks whose
// single owner want does not select; the reader still has to skip other owners in
// mixed blocks.
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

// Seek moves before the first entry whose name is name or sorts after it.
func (m *Merger) Seek(name []byte) {
	for _, c := range m.inputs {
		c.Seek(name)
	}
	m.fill()
}

// fill builds the heap from the next entries of all inputs.
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

// down restores the order of the heap below i.
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

// runnerUp returns the input with the second smallest entry, or nil.
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

// Merge merges several indexes into one, without the owners that keep rejects. It
// shares blocks that do not overlap with another input. No entry may be in two of
// the indexes.
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

// whole returns the block that starts with the current entry, if all of it sorts
// before every other input and keep accepts its single owner.
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
