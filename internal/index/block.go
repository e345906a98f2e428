package index

import (
	"encoding/binary"
	"math/bits"
)

// Sizes of blocks. Larger blocks take less memory, because only the first name of
// a block is stored whole; smaller blocks make a change cheaper, because a change
// copies a block.
const (
	blockTarget = 128     // names in a block that is built in order
	blockMax    = 192     // names in a block before it is split
	blockMin    = 32      // a block with fewer names is joined with its neighbour
	blockBytes  = 8 << 10 // encoded bytes in a block before it is cut, whatever its names
)

// mixed is the owner of a block whose entries have their own owners.
const mixed = ^uint32(0)

// MaxOwner is the largest owner.
const MaxOwner = mixed - 1

// block is a run of front-coded entries. Its data never changes.
type block struct {
	data  []byte
	n     uint32 // entries, at least 1
	owner uint32 // of all entries, or mixed
}

// first returns the block's first name, which is stored whole.
func (b *block) first() []byte {
	n, k := uvarint(b.data[1:])
	return b.data[1+k : 1+k+n]
}

// same reports whether two blocks share their data and their owner. Equal blocks
// that were made separately are not the same.
func (b *block) same(c *block) bool {
	return &b.data[0] == &c.data[0] && b.owner == c.owner
}

// uvarint decodes a number that this package encoded. It does not check it.
func uvarint(p []byte) (v, n int) {
	if p[0] < 0x80 {
		return int(p[0]), 1
	}
	u, n := binary.Uvarint(p)
	return int(u), n
}

// commonPrefix returns the number of leading bytes that a and b share. The caller
// knows that they share the first from bytes.
func commonPrefix(a, b []byte, from int) int {
	n := min(len(a), len(b))
	i := from
	for ; i+8 <= n; i += 8 {
		if x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:]); x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// firstOwner returns the owner of the block's first entry.
func (b *block) firstOwner() uint32 {
	if b.owner != mixed {
		return b.owner
	}
	n, k := uvarint(b.data[1:])
	owner, _ := uvarint(b.data[1+k+n:])
	return uint32(owner)
}
