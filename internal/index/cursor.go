package index

import "bytes"

// Cursor reads an Index in order:
//
//	for c := ix.Cursor(); c.Next(); {
//		use(c.Name(), c.Owner())
//	}
//
// A cursor is before an entry, at an entry, or after the last one.
type Cursor struct {
	ix     *Index
	leaf   int // position of the block that is being read
	block  int
	data   []byte // the part of that block that is not yet decoded
	left   uint32 // entries that are not yet decoded
	mixed  bool
	peeked bool // Seek has decoded the current entry for Next

	want func(owner uint32) bool // selects the blocks to read; nil: all

	name  []byte // of the current entry; the cursor owns the buffer
	owner uint32
}

// Reset moves the cursor before the first entry of ix and keeps its buffer.
func (c *Cursor) Reset(ix *Index) {
	*c = Cursor{ix: ix, name: c.name[:0], want: c.want}
	c.open()
}

// resetTo moves the cursor before the first entry of a block, of which alone it reads,
// and keeps its buffer.
func (c *Cursor) resetTo(b block) {
	*c = Cursor{ix: &empty, name: c.name[:0], data: b.data, left: b.n, owner: b.owner, mixed: b.owner == mixed}
}

var empty Index

// open starts to read the block at the cursor's position, if want selects it.
func (c *Cursor) open() {
	c.left = 0
	if c.leaf < len(c.ix.leaves) {
		b := &c.ix.leaves[c.leaf].blocks[c.block]
		if c.want == nil || b.owner == mixed || c.want(b.owner) {
			c.data, c.left, c.owner, c.mixed = b.data, b.n, b.owner, b.owner == mixed
		}
	}
}

// step moves to the next selected block, and reports whether there is one.
func (c *Cursor) step() bool {
	for c.leaf < len(c.ix.leaves) {
		if c.block++; c.block == len(c.ix.leaves[c.leaf].blocks) {
			c.leaf, c.block = c.leaf+1, 0
		}
		if c.open(); c.left > 0 {
			return true
		}
	}
	return false
}

// Next moves to the next entry, and reports whether there is one.
func (c *Cursor) Next() bool {
	if c.peeked {
		c.peeked = false
		return true
	}
	if c.left == 0 && !c.step() {
		return false
	}
	shared, rest, owner, behind := Decode(c.data, c.mixed)
	c.name = append(c.name[:shared], rest...)
	c.data = behind
	if c.mixed {
		c.owner = owner
	}
	c.left--
	return true
}

// Name returns the current entry's name. It is valid until the cursor moves.
func (c *Cursor) Name() []byte { return c.name }

// Owner returns the current entry's owner.
func (c *Cursor) Owner() uint32 { return c.owner }

// Seek moves, forward or backward, before the first entry whose name is name or
// sorts after it.
func (c *Cursor) Seek(name []byte) {
	if !c.ahead(name) {
		c.leaf, c.block = c.ix.locate(name)
		c.peeked = false
		c.open()
	}
	for c.Next() {
		if bytes.Compare(c.name, name) >= 0 {
			c.peeked = true
			return
		}
	}
}

// ahead reports whether name can only be later in the block that is being read,
// so that no search is needed.
func (c *Cursor) ahead(name []byte) bool {
	if c.left == 0 || c.peeked || c.atStart() || bytes.Compare(c.name, name) >= 0 {
		return false
	}
	next := c.following()
	return next == nil || bytes.Compare(next, name) >= 0
}

// following returns the first name of the next block, or nil.
func (c *Cursor) following() []byte {
	if blocks := c.ix.leaves[c.leaf].blocks; c.block+1 < len(blocks) {
		return blocks[c.block+1].first()
	}
	if c.leaf+1 < len(c.ix.leaves) {
		return c.ix.leaves[c.leaf+1].first()
	}
	return nil
}

// atStart reports whether the next entry is the first of its block.
func (c *Cursor) atStart() bool {
	return !c.peeked && c.leaf < len(c.ix.leaves) &&
		c.left == c.ix.leaves[c.leaf].blocks[c.block].n
}
