package index

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// Sizes of leaves, in blocks.
const (
	leafTarget = 128
	leafMin    = 32
)

// slabSize is the memory that neighbouring blocks of a long list share. It is
// freed when none of them is used.
const slabSize = 64 << 10

// Builder makes an Index from sorted entries. It also takes whole blocks and
// leaves of other indexes, and shares them where possible. The zero Builder is
// ready to use.
type Builder struct {
	done   []*Leaf
	blocks []block // of the leaf that is being filled

	buf   []byte // the block that is being filled
	spare []byte // memory for mix
	n     int
	owner uint32 // of that block, or mixed
	cut   int    // names at which it is cut; 0: blockTarget
	name  []byte // the last name
	size  int    // encoded bytes in done and blocks
	len   int

	slabs int    // size of the memory that blocks share, see keep; 0: none
	slab  []byte // the one that is being filled
}

// Len returns the number of entries that were added.
func (b *Builder) Len() int { return b.len }

// Last returns the name that was added last. It is valid until the next Add.
func (b *Builder) Last() []byte { return b.name }

// Add appends an entry and copies its name. The name must not sort before the
// last one.
func (b *Builder) Add(name []byte, owner uint32) { b.AddSharing(name, owner, 0) }

// AddSharing is Add for a caller that knows that the name shares at least its
// first shared bytes with the last name.
func (b *Builder) AddSharing(name []byte, owner uint32, shared int) {
	switch {
	case b.n == 0:
		b.owner, shared = owner, 0
	case owner != b.owner && b.owner != mixed:
		b.mix()
		fallthrough
	default:
		shared = commonPrefix(b.name, name, shared)
	}
	b.buf = appendLen(b.buf, shared)
	b.buf = appendLen(b.buf, len(name)-shared)
	b.buf = append(b.buf, name[shared:]...)
	if b.owner == mixed {
		b.buf = binary.AppendUvarint(b.buf, uint64(owner))
	}
	b.name = append(b.name[:shared], name[shared:]...)
	b.n++
	b.len++
	if b.n >= cmp.Or(b.cut, blockTarget) || len(b.buf) >= blockBytes {
		b.flushBlock()
	}
}

func appendLen(p []byte, n int) []byte {
	if n < 0x80 {
		return append(p, byte(n))
	}
	return binary.AppendUvarint(p, uint64(n))
}

// mix rewrites the block that is being filled: each entry gets its own owner.
func (b *Builder) mix() {
	out := b.spare[:0]
	for data := b.buf; len(data) > 0; {
		shared, rest, _, behind := Decode(data, false)
		out = appendLen(out, shared)
		out = appendLen(out, len(rest))
		out = append(out, rest...)
		out = binary.AppendUvarint(out, uint64(b.owner))
		data = behind
	}
	b.buf, b.spare, b.owner = out, b.buf, mixed
}

func (b *Builder) flushBlock() {
	if b.n == 0 {
		return
	}
	b.push(block{data: b.keep(b.buf), n: uint32(b.n), owner: b.owner})
	b.buf, b.n = b.buf[:0], 0
}

// keep returns a copy of a block's data. Blocks that are made together are freed
// together, so they share memory: separate allocations of lists that alternate
// would fragment the heap.
func (b *Builder) keep(data []byte) []byte {
	if b.slabs == 0 {
		return bytes.Clone(data)
	}
	if len(data) > cap(b.slab)-len(b.slab) {
		b.slab = make([]byte, 0, max(b.slabs, len(data)))
	}
	start := len(b.slab)
	b.slab = append(b.slab, data...)
	return b.slab[start:len(b.slab):len(b.slab)]
}

// push appends a finished block. It cuts a leaf only at twice its target size, so
// that one more block does not shift the borders of all following leaves.
func (b *Builder) push(bl block) {
	b.blocks = append(b.blocks, bl)
	b.size += len(bl.data)
	if len(b.blocks) == 2*leafTarget {
		b.flushLeaf(leafTarget)
	}
}

// flushLeaf makes a leaf of the first n finished blocks.
func (b *Builder) flushLeaf(n int) {
	if n == 0 {
		return
	}
	l := &Leaf{blocks: slices.Clone(b.blocks[:n])}
	for i := range l.blocks {
		l.len += int(l.blocks[i].n)
		l.size += len(l.blocks[i].data)
	}
	b.done = append(b.done, l)
	b.blocks = b.blocks[:copy(b.blocks, b.blocks[n:])]
}

// addBlock appends a block of another index. It shares the block, unless the block
// or the one before it is small: then it joins the two.
func (b *Builder) addBlock(bl block) {
	if !small(b.n, len(b.buf)) && !small(int(bl.n), len(bl.data)) {
		b.flushBlock()
		b.push(bl)
		b.len += int(bl.n)
		return
	}
	b.cut = evenly(b.n + int(bl.n))
	var c Cursor
	c.resetTo(bl)
	for c.Next() {
		b.Add(c.name, c.owner)
	}
	b.cut = 0
}

// small reports whether a block of n names and size bytes should be joined
// with its neighbour.
func small(n, size int) bool {
	return n > 0 && n < blockMin && size < blockBytes/4
}

// evenly returns the block size for n names that leaves no small block over.
func evenly(n int) int {
	if n <= blockMax {
		return blockMax
	}
	parts := (n + blockTarget - 1) / blockTarget
	return (n + parts - 1) / parts
}

// addLeaf appends a leaf of another index, and shares it where possible.
func (b *Builder) addLeaf(l *Leaf) {
	if !small(b.n, len(b.buf)) {
		b.flushBlock()
		if len(b.blocks) == 0 || len(b.blocks) >= leafMin {
			b.flushLeaf(len(b.blocks))
			b.done = append(b.done, l)
			b.len += l.len
			b.size += l.size
			return
		}
	}
	for _, bl := range l.blocks {
		b.addBlock(bl)
	}
}

// addLeaves appends leaves of another index. It shares all of them, except leading
// leaves that it has to join with the blocks before.
func (b *Builder) addLeaves(leaves []*Leaf) {
	for len(leaves) > 0 && (b.n > 0 || len(b.blocks) > 0) {
		b.addLeaf(leaves[0])
		leaves = leaves[1:]
	}
	b.done = append(b.done, leaves...)
	for _, l := range leaves {
		b.len += l.len
		b.size += l.size
	}
}

// Index returns the Index that was built, and resets the Builder.
func (b *Builder) Index() *Index {
	b.flushBlock()
	b.flushLeaf(len(b.blocks))
	ix := &Index{leaves: slices.Clip(b.done), len: b.len, size: b.size}
	b.reset()
	return ix
}

// reset makes the Builder empty. It keeps its room, which refers to nothing.
func (b *Builder) reset() {
	clear(b.blocks[:cap(b.blocks)])
	*b = Builder{buf: b.buf[:0], spare: b.spare[:0], blocks: b.blocks[:0], name: b.name[:0]}
}
