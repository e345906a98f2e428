package files

// Interim, simple implementation behind the final API; to be replaced.

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sort"

	"github.com/cespare/xxhash/v2"
)

// Origin is whose files a Set holds.
type Origin struct{ Host, Directory string }

// View is what is known of a directory now: its Set, or the Reason why there is none.
type View struct {
	Set        *Set   // nil: unavailable, and Reason says why
	Reason     string // one line for people, when Set is nil
	Scanned    int    // files found so far, while a first scan is under way
	Unreadable int    // directories that cannot be read
	Polled     int    // directories that are polled because they cannot be watched
}

// Set is an immutable sorted set of names. The zero Set is empty.
type Set struct {
	names  []string
	digest uint64
}

func (s *Set) Len() int       { return len(s.names) }
func (s *Set) Digest() uint64 { return s.digest }
func (s *Set) Contains(name []byte) bool {
	i := sort.SearchStrings(s.names, string(name))
	return i < len(s.names) && s.names[i] == string(name)
}

// Cursor reads a Set in order. c := s.Cursor(); for c.Next() { c.Name() }
type Cursor struct {
	s *Set
	i int
}

func (s *Set) Cursor() *Cursor { return &Cursor{s, -1} }

// Seek puts the cursor before the first name that is >= name (Next then yields it).
// Seeks forward and backward.
func (c *Cursor) Seek(name []byte) { c.i = sort.SearchStrings(c.s.names, string(name)) - 1 }
func (c *Cursor) Next() bool       { c.i++; return c.i < len(c.s.names) }

// Name is valid until the next call.
func (c *Cursor) Name() []byte { return []byte(c.s.names[c.i]) }

// Delta is what changed. No name is in both.
type Delta struct{ Removed, Added *Set }

func (d Delta) Empty() bool { return d.Removed.Len() == 0 && d.Added.Len() == 0 }

// Apply: an added name must be absent, a removed one present; else error and no Set.
func (s *Set) Apply(d Delta) (*Set, error) {
	m := map[string]bool{}
	for _, n := range s.names {
		m[n] = true
	}
	for _, n := range d.Removed.names {
		if !m[n] {
			return nil, fmt.Errorf("removed name %q is not in the set", n)
		}
		delete(m, n)
	}
	for _, n := range d.Added.names {
		if m[n] {
			return nil, fmt.Errorf("added name %q is in the set already", n)
		}
		m[n] = true
	}
	var all []string
	for n := range m {
		all = append(all, n)
	}
	sort.Strings(all)
	var b Builder
	for _, n := range all {
		b.Add([]byte(n))
	}
	return b.Set(), nil
}

// Diff is the change that makes to out of from.
func Diff(from, to *Set) Delta {
	var r, a Builder
	for _, n := range from.names {
		if !to.Contains([]byte(n)) {
			r.Add([]byte(n))
		}
	}
	for _, n := range to.names {
		if !from.Contains([]byte(n)) {
			a.Add([]byte(n))
		}
	}
	return Delta{r.Set(), a.Set()}
}

// Builder makes a Set out of ascending names. The zero Builder is ready.
type Builder struct{ s Set }

// Add appends a name (copied), which must sort after all before it; else it panics.
func (b *Builder) Add(name []byte) {
	if n := len(b.s.names); n > 0 && b.s.names[n-1] >= string(name) {
		panic("files: names out of order")
	}
	b.s.names = append(b.s.names, string(name))
	b.s.digest += xxhash.Sum64(name)
}

func (b *Builder) Len() int { return len(b.s.names) }

// Set returns what was built and resets the Builder.
func (b *Builder) Set() *Set { s := b.s; b.s = Set{}; return &s }

// Append decodes front-coded names from the wire and adds them, with all rules
// checked (order, shape of a name); a broken rule is an error that names it. data is copied.
func (b *Builder) Append(data []byte) error {
	var prev []byte
	for len(data) > 0 {
		sh, k := binary.Uvarint(data)
		if k <= 0 || sh > uint64(len(prev)) {
			return errors.New("bad front coding")
		}
		data = data[k:]
		n, k := binary.Uvarint(data)
		if k <= 0 || n > uint64(len(data)-k) {
			return errors.New("bad front coding")
		}
		name := append(append([]byte{}, prev[:sh]...), data[k:k+int(n)]...)
		data = data[k+int(n):]
		if l := len(b.s.names); l > 0 && b.s.names[l-1] >= string(name) {
			return errors.New("names out of order")
		}
		b.Add(name)
		prev = name
	}
	return nil
}

// Parts yields the Set front-coded for the wire in pieces of at most about limit bytes,
// each decodable by Append in order. Slices are valid until the next.
func (s *Set) Parts(limit int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var out []byte
		for _, n := range s.names {
			if len(out)+len(n) > limit && len(out) > 0 {
				if !yield(out) {
					return
				}
				out = nil
			}
			out = binary.AppendUvarint(out, 0)
			out = binary.AppendUvarint(out, uint64(len(n)))
			out = append(out, n...)
		}
		if len(out) > 0 {
			yield(out)
		}
	}
}
