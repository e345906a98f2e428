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

// Apply returns the Set with the change applied. It returns an error if a removed
// name does not exist or an added name exists already.
//
// Its cost depends on the blocks that it touches, not on the size of the Set.
func (s *Set) Apply(d Delta) (*Set, error) {
	ix, err := s.index.Apply(nil, index.Edit{Removed: &d.Removed.index, Added: &d.Added.index})
	if err != nil {
		return nil, fmt.Errorf("apply a change: %w", err)
	}
	return &Set{
		index:  *ix,
		digest: s.digest - d.Removed.digest + d.Added.digest,
		bytes:  s.bytes - d.Removed.bytes + d.Added.bytes,
	}, nil
}

// Diff returns the change from one Set to another. The Diff of a Set and the result
// of Apply is as cheap as Apply.
func Diff(from, to *Set) Delta {
	var removed, added Builder
	index.Diff(&from.index, &to.index, removed.Add, added.Add)
	return Delta{Removed: removed.Set(), Added: added.Set()}
}

// Builder makes a Set from sorted names. The zero Builder is ready to use.
type Builder struct {
	index  index.Builder
	digest uint64
	bytes  uint64
}

// Add appends a name and copies it. The name must sort after the last one.
func (b *Builder) Add(name []byte) { b.add(name, 0) }

// add is Add for a name that shares at least its first shared bytes with the last.
func (b *Builder) add(name []byte, shared int) {
	b.index.AddSharing(name, 0, shared)
	b.digest += xxhash.Sum64(name)
	b.bytes += uint64(len(name))
}

// Len returns the number of names that were added.
func (b *Builder) Len() int { return b.index.Len() }

// Bytes returns the sum of the lengths of the names that were added.
func (b *Builder) Bytes() uint64 { return b.bytes }

// Set returns the Set that was built, and resets the Builder.
func (b *Builder) Set() *Set {
	s := &Set{index: *b.index.Index(), digest: b.digest, bytes: b.bytes}
	b.digest, b.bytes = 0, 0
	return s
}
