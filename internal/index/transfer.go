package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
)

// unpackMost is the maximum number of entries of a block that Unpack takes. No version
// makes such large blocks.
const unpackMost = 1024

// Pack yields the blocks of the Index in order, in parts of about limit bytes, for
// [Unpack] in another process. The blocks are copied as they are, except those with
// entries of an owner that keep rejects. A nil keep accepts all owners. The caller
// owns the parts.
//
// A part is a sequence of blocks, each
//
//	uvarint entries
//	uvarint owner    of all entries, plus 1; 0: the block is mixed
//	uvarint size     number of bytes that follow
//	byte[size]       see the package documentation
func (ix *Index) Pack(limit int, keep func(owner uint32) bool) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var part []byte
		for b := range ix.kept(keep) {
			if len(part) > 0 && len(part)+len(b.data) > limit {
				if !yield(part) {
					return
				}
				part = nil
			}
			if part == nil {
				part = make([]byte, 0, min(limit, ix.size)+blockBytes/4)
			}
			part = appendBlock(part, b)
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

func appendBlock(part []byte, b *block) []byte {
	part = binary.AppendUvarint(part, uint64(b.n))
	part = binary.AppendUvarint(part, uint64(b.owner+1)) // mixed becomes 0
	part = binary.AppendUvarint(part, uint64(len(b.data)))
	return append(part, b.data...)
}

// kept yields the blocks, without the entries whose owners keep rejects.
func (ix *Index) kept(keep func(owner uint32) bool) iter.Seq[*block] {
	return func(yield func(*block) bool) {
		for _, l := range ix.leaves {
			for i := range l.blocks {
				b := &l.blocks[i]
				switch {
				case keep == nil, b.owner != mixed && keep(b.owner), b.owner == mixed && b.all(keep):
					if !yield(b) {
						return
					}
				case b.owner == mixed:
					for _, l := range b.only(keep).leaves {
						for i := range l.blocks {
							if !yield(&l.blocks[i]) {
								return
							}
						}
					}
				}
			}
		}
	}
}

// all reports whether keep accepts the owners of all entries.
func (b *block) all(keep func(owner uint32) bool) bool {
	var c Cursor
	for c.resetTo(*b); c.Next(); {
		if !keep(c.owner) {
			return false
		}
	}
	return true
}

// only returns the entries whose owners keep accepts.
func (b *block) only(keep func(owner uint32) bool) *Index {
	var to Builder
	var c Cursor
	for c.resetTo(*b); c.Next(); {
		if keep(c.owner) {
			to.Add(c.name, c.owner)
		}
	}
	return to.Index()
}

// Unpack returns the entries of a part from [Index.Pack] of another process. It
// proves that the part has the format, and that the entries ascend. It calls check for
// each entry in order, with the number of bytes that the name shares, at least, with
// the name before; an error of check ends it. order is only asked for owners that check
// has accepted. The Index keeps the part, which must not be changed any more.
func Unpack(part []byte, order Order, check func(name []byte, shared int, owner uint32) error) (*Index, error) {
	u := unpacker{order: order, check: check}
	var b Builder
	for len(part) > 0 {
		bl, rest, err := cutBlock(part)
		if err == nil {
			err = u.entries(&bl)
		}
		if err != nil {
			return nil, err
		}
		b.push(bl)
		b.len += int(bl.n)
		part = rest
	}
	return b.Index(), nil
}

var errCut = errors.New("a block is cut short")

// cutBlock returns the first block of a part, and the rest of the part.
func cutBlock(part []byte) (bl block, rest []byte, err error) {
	var header [3]uint64 // entries, owner, size
	for i := range header {
		v, k := binary.Uvarint(part)
		if k <= 0 {
			return bl, nil, errCut
		}
		header[i], part = v, part[k:]
	}
	switch {
	case header[0] == 0 || header[0] > unpackMost:
		return bl, nil, fmt.Errorf("a block has %d entries, not 1 to %d", header[0], unpackMost)
	case header[1] > uint64(mixed):
		return bl, nil, fmt.Errorf("a block has the owner %d", header[1]-1)
	case header[2] > uint64(len(part)):
		return bl, nil, errCut
	}
	size := int(header[2])
	return block{data: part[:size:size], n: uint32(header[0]), owner: uint32(header[1]) - 1}, part[size:], nil
}

// unpacker checks the blocks of a part.
type unpacker struct {
	order Order
	check func(name []byte, shared int, owner uint32) error

	name  []byte // of the last entry
	owner uint32
	any   bool // there is a last entry
}

// entries checks the entries of a block.
func (u *unpacker) entries(bl *block) error {
	data, owner := bl.data, bl.owner
	for i := range bl.n {
		shared, rest, k := lengths(data)
		switch {
		case k == 0 || rest > len(data)-k:
			return errCut
		case i == 0 && data[0] != 0: // also a longer encoding of 0
			return errors.New("the first name of a block is not whole")
		case shared > len(u.name):
			return fmt.Errorf("a name shares %d bytes with one of %d", shared, len(u.name))
		}
		suffix := data[k : k+rest]
		if data = data[k+rest:]; bl.owner == mixed {
			o, k := binary.Uvarint(data)
			if k <= 0 || o > uint64(MaxOwner) {
				return errCut
			}
			owner, data = uint32(o), data[k:]
		}
		if err := u.entry(shared, suffix, owner); err != nil {
			return err
		}
	}
	if len(data) > 0 {
		return fmt.Errorf("a block has %d bytes behind its last entry", len(data))
	}
	return nil
}

// lengths decodes the two lengths at the start of an entry, which take k bytes. k is 0
// if data does not have them.
func lengths(data []byte) (shared, rest, k int) {
	if len(data) >= 2 && data[0]|data[1] < 0x80 {
		return int(data[0]), int(data[1]), 2
	}
	s, i := binary.Uvarint(data)
	if i <= 0 || s > math.MaxInt32 {
		return 0, 0, 0
	}
	r, j := binary.Uvarint(data[i:])
	if j <= 0 || r > math.MaxInt32 {
		return 0, 0, 0
	}
	return int(s), int(r), i + j
}

// entry checks that the next entry sorts after the last one.
func (u *unpacker) entry(shared int, suffix []byte, owner uint32) error {
	ascends := 1
	if behind := u.name[shared:]; u.any && (len(behind) == 0 || len(suffix) == 0 || suffix[0] <= behind[0]) {
		ascends = bytes.Compare(suffix, behind) // the first bytes usually decide
	}
	last := u.owner
	u.name = u.name[:shared]
	u.name = append(u.name, suffix...) // in two steps, which need no write barrier
	if ascends < 0 {
		return fmt.Errorf("name %.80q does not sort after the one before", u.name)
	}
	if err := u.check(u.name, shared, owner); err != nil {
		return err
	}
	if ascends == 0 && u.order.compare(nil, last, nil, owner) >= 0 {
		return fmt.Errorf("the owners of name %.80q do not ascend", u.name)
	}
	u.owner, u.any = owner, true
	return nil
}

// Join returns the entries of all parts, which have to ascend from part to part.
func Join(order Order, parts []*Index) (*Index, error) {
	joined := new(Index)
	var last Cursor
	for _, p := range parts {
		if p.len == 0 {
			continue
		}
		first := p.Cursor()
		first.Next()
		if joined.len > 0 && order.compare(last.name, last.owner, first.name, first.owner) >= 0 {
			return nil, fmt.Errorf("name %.80q does not sort after the part before", first.name)
		}
		leaf := p.leaves[len(p.leaves)-1]
		for last.resetTo(leaf.blocks[len(leaf.blocks)-1]); last.left > 0; {
			last.Next()
		}
		joined.leaves = append(joined.leaves, p.leaves...)
		joined.len += p.len
		joined.size += p.size
	}
	joined.leaves = slices.Clip(joined.leaves)
	return joined, nil
}

// Owner returns the owner of all entries. It returns false if they have several owners,
// or if there are none.
func (ix *Index) Owner() (owner uint32, ok bool) {
	for _, l := range ix.leaves {
		for i := range l.blocks {
			b := &l.blocks[i]
			if b.owner == mixed || ok && b.owner != owner {
				return 0, false
			}
			owner, ok = b.owner, true
		}
	}
	return owner, ok
}
