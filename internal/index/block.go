package index

import (
	"encoding/binary"
	"math/bits"
)

// Sizes of blocks. The numbers balance memory (a block's first name is stored
// whole) against the cost of a change (a block is copied).
const (
	blockTarget = 128     // names in a block that is built in order
	blockMax    = 192     // names that a block may grow to before it is split
	blockMin    = 32      // fewer than this, and a block is joined with the next
	blockBytes  = 8 << 10 // encoded bytes at which a block is cut, however few its names
)

// mixed is the owner of a block whose entries name their own.
const mixed = ^uint32(0)

// MaxOwner is the largest number an owner may have.
const MaxOwner = mixed - 1

// block is a run of front-coded entries. Its data is never written again.
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

// same reports whether two blocks are one and the same, not merely equal.
func (b *block) same(c *block) bool {
	return &b.data[0] == &c.data[0] && b.owner == c.owner
}

// uvarint decodes a number of our own making, so it need not be checked.
func uvarint(p []byte) (v, n int) {
	if p[0] < 0x80 {
		return int(p[0]), 1
	}
	u, n := binary.Uvarint(p)
	return int(u), n
}

// commonPrefix returns how many leading bytes a and b share, given that they
// share at least the first from.
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
