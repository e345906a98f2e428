package listing

import (
	"math/bits"
	"slices"
)

// bitset is an immutable set of small numbers.
type bitset []uint64

func (b bitset) has(n uint32) bool {
	i := int(n / 64)
	return i < len(b) && b[i]&(1<<(n%64)) != 0
}

func (b bitset) with(n uint32) bitset {
	c := make(bitset, max(len(b), int(n/64)+1))
	copy(c, b)
	c[n/64] |= 1 << (n % 64)
	return c
}

func (b bitset) without(n uint32) bitset {
	if !b.has(n) {
		return b
	}
	c := slices.Clone(b)
	c[n/64] &^= 1 << (n % 64)
	return c
}

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
