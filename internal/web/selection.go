package web

import (
	"bytes"

	"scout/internal/listing"
)

// selection reads the entries of a Version that a query selects, in order:
//
//	for s := newSelection(v, q, nil); s.Next(); {
//		use(s.Name(), s.Owner())
//	}
type selection struct {
	*listing.Entries
	version *listing.Version
	query   *query
	ranges  [][]byte  // prefixes of what is left to read; the first is being read
	after   *position // entries up to here are passed over, unless nil
	left    int       // entries that may still be read, below 0 when there is no limit

	done    <-chan struct{} // nobody wants to know any more
	looked  uint            // entries since done was looked at
	aborted bool            // reading has ended because of that
}

// lookEvery is how many entries may be read in vain before it is asked whether
// anybody is still waiting.
const lookEvery = 1 << 12

// newSelection returns a selection before the first entry, which ends early when
// done is closed.
func newSelection(v *listing.Version, q *query, done <-chan struct{}) *selection {
	s := &selection{Entries: v.Entries(), version: v, query: q, ranges: q.ranges(), left: -1, done: done}
	if q.hosts != nil || q.directories != nil {
		s.Entries = v.EntriesWhere(q.selectsOrigin)
	}
	if q.limit > 0 {
		s.left = q.limit
	}
	if q.after != nil {
		s.skipTo(&q.after.position)
	}
	s.seek()
	return s
}

// skipTo lets the selection begin behind a position.
func (s *selection) skipTo(p *position) {
	s.after = p
	for len(s.ranges) > 0 && bytes.Compare(s.ranges[0], p.name) < 0 && !bytes.HasPrefix(p.name, s.ranges[0]) {
		s.ranges = s.ranges[1:]
	}
}

// Next moves to the next entry and reports whether there is one.
func (s *selection) Next() bool {
	if s.left == 0 || !s.advance() {
		return false
	}
	s.left--
	return true
}

// more reports whether there is an entry behind those that the limit allows. It
// may be called when Next has returned false.
func (s *selection) more() bool { return s.left == 0 && s.advance() }

// advance is Next without a limit.
func (s *selection) advance() bool {
	for len(s.ranges) > 0 {
		for s.Entries.Next() && bytes.HasPrefix(s.Name(), s.ranges[0]) {
			if s.isAborted() {
				return false
			}
			if s.isBehind() && s.query.matches(s.Name()) {
				return true
			}
		}
		s.ranges = s.ranges[1:]
		s.seek()
	}
	return false
}

// seek moves to the beginning of what is left of the range that is to be read.
func (s *selection) seek() {
	if len(s.ranges) == 0 {
		return
	}
	begin := s.ranges[0]
	if s.after != nil && bytes.Compare(begin, s.after.name) < 0 {
		begin = s.after.name
	}
	if len(begin) > 0 {
		s.Seek(begin)
	}
}

// isBehind reports whether the entry comes after those that are passed over.
func (s *selection) isBehind() bool {
	if s.after == nil {
		return true
	}
	if s.after.compare(s.Name(), s.Source().Origin) >= 0 {
		return false
	}
	s.after = nil
	return true
}

func (s *selection) isAborted() bool {
	if s.looked++; s.looked%lookEvery != 0 {
		return s.aborted
	}
	select {
	case <-s.done:
		s.aborted = true
	default:
	}
	return s.aborted
}

// ranges returns the prefixes among which every name that the query selects is
// found, ascending, none covering another.
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
