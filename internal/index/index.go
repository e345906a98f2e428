package index

import (
	"bytes"
	"iter"
	"slices"
	"sort"
	"sync/atomic"
)

// Index is an immutable sorted list of entries. The zero Index is empty.
type Index struct {
	leaves []*Leaf
	len    int
	size   int
}

// Leaf is an immutable stretch of an Index: a run of blocks, at least one.
// Indexes that were made of each other share leaves, and a leaf is the same
// pointer for as long as it stays the same.
type Leaf struct {
	// Memo is for what a reader makes of the leaf and would like to find again.
	// It lives as long as the leaf.
	Memo atomic.Value

	blocks []block
	len    int // entries
	size   int // encoded bytes
}

// Index returns the leaf's entries as an Index of their own.
func (l *Leaf) Index() *Index { return &Index{leaves: []*Leaf{l}, len: l.len, size: l.size} }

// Leaves returns the leaves in order. The slice must not be changed.
func (ix *Index) Leaves() []*Leaf { return ix.leaves }

func (l *Leaf) first() []byte { return l.blocks[0].first() }

// single returns an Index of one block.
func single(b block) *Index {
	return &Index{leaves: []*Leaf{{blocks: []block{b}}}}
}

// Len returns the number of entries.
func (ix *Index) Len() int { return ix.len }

// Size returns the number of bytes that the entries occupy, encoded.
func (ix *Index) Size() int { return ix.size }

// Cursor returns a cursor before the first entry.
func (ix *Index) Cursor() *Cursor {
	c := new(Cursor)
	c.Reset(ix)
	return c
}

// locate returns the last block whose first name is less than name, or the
// very first block: the only place to start looking for name's first entry.
func (ix *Index) locate(name []byte) (leaf, block int) {
	if len(ix.leaves) == 0 {
		return 0, 0
	}
	leaf = max(0, sort.Search(len(ix.leaves), func(i int) bool {
		return bytes.Compare(ix.leaves[i].first(), name) >= 0
	})-1)
	blocks := ix.leaves[leaf].blocks
	block = max(0, sort.Search(len(blocks), func(i int) bool {
		return bytes.Compare(blocks[i].first(), name) >= 0
	})-1)
	return leaf, block
}

// Owned returns the same names as entries of owner. All entries of ix must
// have one owner. The names themselves are shared.
func (ix *Index) Owned(owner uint32) *Index {
	to := &Index{leaves: make([]*Leaf, len(ix.leaves)), len: ix.len, size: ix.size}
	for i, l := range ix.leaves {
		blocks := slices.Clone(l.blocks)
		for j := range blocks {
			blocks[j].owner = owner
		}
		to.leaves[i] = &Leaf{blocks: blocks, len: l.len, size: l.size}
	}
	return to
}

// Blocks yields the encoded entries in order, a run that starts afresh at a
// time. All entries of ix must have one owner. The bytes must not be changed.
func (ix *Index) Blocks() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, l := range ix.leaves {
			for i := range l.blocks {
				if !yield(l.blocks[i].data) {
					return
				}
			}
		}
	}
}
