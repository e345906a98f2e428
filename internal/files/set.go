package files

import (
	"bytes"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"scout/internal/index"
)

// Set is an immutable sorted set of names: paths relative to a directory, as
// raw bytes with '/' between their parts. The zero Set is empty.
type Set struct {
	index  index.Index
	digest uint64
	bytes  uint64
}

// Len returns the number of names.
func (s *Set) Len() int { return s.index.Len() }

// Digest returns the sum modulo 2^64 of the XXH64 of each name. Equal sets have
// equal digests, whatever their history.
func (s *Set) Digest() uint64 { return s.digest }

// Bytes returns the sum of the lengths of the names.
func (s *Set) Bytes() uint64 { return s.bytes }

// Index returns the names as entries of owner 0.
func (s *Set) Index() *index.Index { return &s.index }

// Contains reports whether name is in the Set.
func (s *Set) Contains(name []byte) bool {
	c := s.Cursor()
	c.Seek(name)
	return c.Next() && bytes.Equal(c.Name(), name)
}

// Cursor reads a Set in order.
type Cursor = index.Cursor

// Cursor returns a cursor before the first name.
func (s *Set) Cursor() *Cursor { return s.index.Cursor() }

// Apply returns the Set with the change made. It is an error, and there is no
// Set, when a removed name is not there or an added one is already.
//
// Its cost is that of the blocks it touches, whatever the size of the Set.
func (s *Set) Apply(d Delta) (*Set, error) {
	ix, err := s.index.Apply(index.Edit{Removed: &d.Removed.index, Added: &d.Added.index})
	if err != nil {
		return nil, fmt.Errorf("apply a change: %w", err)
	}
	return &Set{
		index:  *ix,
		digest: s.digest - d.Removed.digest + d.Added.digest,
		bytes:  s.bytes - d.Removed.bytes + d.Added.bytes,
	}, nil
}

// Diff returns the change that makes to out of from. Between a Set and what
// Apply made of it, it costs no more than Apply did.
func Diff(from, to *Set) Delta {
	var removed, added Builder
	index.Diff(&from.index, &to.index, removed.Add, added.Add)
	return Delta{Removed: removed.Set(), Added: added.Set()}
}

// Builder makes a Set out of ascending names. The zero Builder is ready.
type Builder struct {
	index  index.Builder
	digest uint64
	bytes  uint64
}

// Add appends a name, which is copied and must sort after all before it.
func (b *Builder) Add(name []byte) { b.add(name, 0) }

// add is Add of a name that shares at least so many bytes with the last.
func (b *Builder) add(name []byte, shared int) {
	b.index.AddSharing(name, 0, shared)
	b.digest += xxhash.Sum64(name)
	b.bytes += uint64(len(name))
}

// Len returns the number of names so far.
func (b *Builder) Len() int { return b.index.Len() }

// Bytes returns the sum of the lengths of the names so far.
func (b *Builder) Bytes() uint64 { return b.bytes }

// Set returns what was built and makes the Builder ready for another.
func (b *Builder) Set() *Set {
	s := &Set{index: *b.index.Index(), digest: b.digest, bytes: b.bytes}
	b.digest, b.bytes = 0, 0
	return s
}
