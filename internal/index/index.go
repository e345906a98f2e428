package index

import (
	"bytes"
	"iter"
	"slices"
	"sort"
)

// Index is an immutable sorted list of entries. The zero Index is empty.
type Index struct {
	leaves []*Leaf
	len    int
	size   int
}

// Leaf is an immutable part of an Index: a run of blocks, at least one. An Index
// shares unchanged leaves with the Index that it was made from, so equal pointers
// mean equal entries.
type Leaf struct {
	blocks []block
	len    int // entries
	size   int // encoded bytes
}

// Index returns the leaf's entries as a separate Index.
func (l *Leaf) Index() *Index { return &Index{leaves: []*Leaf{l}, len: l.len, size: l.size} }

// Leaves returns the leaves in order. The slice must not be changed.
func (ix *Index) Leaves() []*Leaf { return ix.leaves }

func (l *Leaf) first() []byte { return l.blocks[0].first() }

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

// locate returns the last block whose first name is less than name, or the first
// block of the Index. The search for the first entry of name starts there.
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

// Before returns the number of entries whose names sort before name. It reads one
// block.
func (ix *Index) Before(name []byte) (n int) {
	if len(ix.leaves) == 0 {
		return 0
	}
	leaf, block := ix.locate(name)
	for _, l := range ix.leaves[:leaf] {
		n += l.len
	}
	for i := range ix.leaves[leaf].blocks[:block] {
		n += int(ix.leaves[leaf].blocks[i].n)
	}
	var c Cursor
	c.resetTo(ix.leaves[leaf].blocks[block])
	for c.Next() && bytes.Compare(c.name, name) < 0 {
		n++
	}
	return n
}

// LastStart returns the first name of the last block for which holds is true, or nil.
// holds must be true for all names up to some name, and false behind it.
func (ix *Index) LastStart(holds func(name []byte) bool) []byte {
	leaf := sort.Search(len(ix.leaves), func(i int) bool { return !holds(ix.leaves[i].first()) }) - 1
	if leaf < 0 {
		return nil
	}
	blocks := ix.leaves[leaf].blocks
	return blocks[sort.Search(len(blocks), func(i int) bool { return !holds(blocks[i].first()) })-1].first()
}

// Owned returns the same names as entries of owner. All entries of ix must have
// one owner. The two indexes share the memory of the names.
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

// Blocks yields the encoded blocks in order. All entries of ix must have one
// owner. The caller must not change the bytes.
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

// Run is an encoded block, for readers that need more speed than a Cursor has. The
// package documentation describes the format.
type Run struct {
	Data  []byte // must not be changed
	Len   int
	Owner uint32 // of all entries, unless Mixed
	Mixed bool   // each entry is followed by its owner
}

// Runs yields the leaf's blocks in order.
func (l *Leaf) Runs() iter.Seq[Run] {
	return func(yield func(Run) bool) {
		for i := range l.blocks {
			b := &l.blocks[i]
			if !yield(Run{b.data, int(b.n), b.owner, b.owner == mixed}) {
				return
			}
		}
	}
}

// Entries returns the run's entries as an Index.
func (r Run) Entries() *Index {
	l := &Leaf{blocks: []block{{data: r.Data, n: uint32(r.Len), owner: r.Owner}}, len: r.Len, size: len(r.Data)}
	return l.Index()
}

// Lengths decodes the two lengths at data[at], where an entry of a run starts, and
// returns the position after them. Most lengths are one byte below 0x80: a fast
// caller checks for that first.
func Lengths(data []byte, at int) (shared, rest, next int) {
	shared, at = Number(data, at)
	rest, at = Number(data, at)
	return shared, rest, at
}

// Number decodes the number at data[at], such as an owner, and returns the
// position after it.
func Number(data []byte, at int) (v, next int) {
	v, n := uvarint(data[at:])
	return v, at + n
}

// Decode decodes the first entry of data, which is a run or the rest of one. It
// returns the number of bytes that the name shares with the previous one, the
// bytes that follow, the owner if the run is mixed, and the data after the entry.
func Decode(data []byte, mixed bool) (shared int, rest []byte, owner uint32, behind []byte) {
	shared, n, k := int(data[0]), int(data[1]), 2
	if shared >= 0x80 || n >= 0x80 {
		shared, n, k = Lengths(data, 0)
	}
	rest, behind = data[k:k+n], data[k+n:]
	if mixed {
		o, k := uvarint(behind)
		owner, behind = uint32(o), behind[k:]
	}
	return shared, rest, owner, behind
}
