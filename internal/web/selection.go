package web

import (
	"bytes"

	"scout/internal/listing"
)

// selection reads the entries of a Version that a query selects, in order:
//
//	for s := newSelection(v, q); s.Next(); {
//		use(s.Name(), s.Owner())
//	}
type selection struct {
	*listing.Entries
	q      *query
	ranges [][]byte // prefixes of what is left to read; the first is being read
}

// newSelection returns a selection before the first entry.
func newSelection(v *listing.Version, q *query) *selection {
	s := &selection{Entries: v.Entries(), q: q, ranges: q.ranges()}
	if q.hosts != nil || q.directories != nil {
		s.Entries = v.EntriesWhere(q.selectsOrigin)
	}
	s.seek()
	return s
}

// Next moves to the next entry and reports whether there is one.
func (s *selection) Next() bool {
	for len(s.ranges) > 0 {
		for s.Entries.Next() && bytes.HasPrefix(s.Name(), s.ranges[0]) {
			if s.q.matches(s.Name()) {
				return true
			}
		}
		s.ranges = s.ranges[1:]
		s.seek()
	}
	return false
}

// seek moves to the beginning of the range that is to be read.
func (s *selection) seek() {
	if len(s.ranges) > 0 && len(s.ranges[0]) > 0 {
		s.Seek(s.ranges[0])
	}
}

// ranges returns the prefixes between which every name that the query selects
// is found, ascending, none covering another.
func (q *query) ranges() [][]byte {
	if q.globs == nil {
		return orEverything(q.prefixes)
	}
	var both [][]byte
	for _, p := range orEverything(q.prefixes) {
		for i := range q.globs {
			if longer, ok := within(p, q.globs[i].prefix); ok {
				both = append(both, longer)
			}
		}
	}
	return reduce(both)
}

func orEverything(prefixes [][]byte) [][]byte {
	if prefixes == nil {
		return [][]byte{nil}
	}
	return prefixes
}

// within returns the prefix of the names that have both prefixes, and whether
// there can be any.
func within(a, b []byte) (longer []byte, ok bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	return a, bytes.HasPrefix(a, b)
}
