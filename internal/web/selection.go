package web

import (
	"bytes"
	"errors"

	"scout/internal/listing"
)

// selection reads the entries of a Version that a query selects, in order:
//
//	for s := newSelection(v, q, nil); s.Next(); {
//		use(s.Name(), s.Owner())
//	}
type selection struct {
	*listing.Entries
	query  *query
	ranges [][]byte  // prefixes of what is left to read; the first is being read
	after  *position // entries up to here are skipped; nil: none is
	left   int       // entries that may still be read; below 0: no limit
	folded []byte    // for query.selectsInRange

	done    <-chan struct{} // the client has left
	read    uint            // entries since done was checked
	aborted bool            // reading has ended because of that
}

// checkEvery is how many entries are read before it is checked whether the client
// is still there.
const checkEvery = 1 << 12

var errClientLeft = errors.New("the client has left")

// newSelection returns a selection before the first entry, which ends early when
// done is closed.
func newSelection(v *listing.Version, q *query, done <-chan struct{}) *selection {
	s := &selection{query: q, ranges: q.ranges(), left: -1, done: done}
	if q.hosts != nil || q.directories != nil {
		s.Entries = v.EntriesWhere(q.selectsOrigin)
	} else {
		s.Entries = v.Entries()
	}
	if q.limit > 0 {
		s.left = q.limit
	}
	if p := q.beginning(); p != nil {
		s.skipTo(p)
	}
	skip := q.offset
	if skip > 0 && q.isCounted(v) {
		skip = s.skipNear(v, skip)
	}
	s.seek()
	for range skip {
		if !s.advance() {
			break
		}
	}
	return s
}

// isCounted reports whether the index knows how many entries a query selects: all
// entries of its ranges.
func (q *query) isCounted(v *listing.Version) bool {
	return v.Counted() && q.hosts == nil && q.directories == nil && q.globs == nil && (q.prefixes == nil || !q.ignoreCase)
}

// skipNear skips most of the first n entries, and returns how many are left to skip.
func (s *selection) skipNear(v *listing.Version, n int) int {
	for ; len(s.ranges) > 0; s.ranges = s.ranges[1:] {
		begin, size := rangeIn(v, s.ranges[0])
		if n < size {
			near, before := v.Near(begin + n)
			if before <= begin {
				return n
			}
			s.after = &position{name: near} // before the entries of that name
			return begin + n - before
		}
		n -= size
	}
	return 0
}

// rangeIn returns how many entries are before those with a prefix, and how many have
// it.
func rangeIn(v *listing.Version, prefix []byte) (before, n int) {
	before = v.Before(prefix)
	end := bytes.Clone(prefix)
	for len(end) > 0 && end[len(end)-1] == 0xff {
		end = end[:len(end)-1]
	}
	if len(end) == 0 {
		return before, v.Len - before
	}
	end[len(end)-1]++ // sorts after all names with the prefix, before all others
	return before, v.Before(end) - before
}

// countRanges is countIn for a query that isCounted.
func (q *query) countRanges(v *listing.Version) (total, before int) {
	for _, prefix := range q.ranges() {
		begin, n := rangeIn(v, prefix)
		total += n
		if q.from != nil {
			before += min(max(v.Before(q.from)-begin, 0), n)
		}
	}
	if q.from == nil {
		before = min(q.offset, total)
	}
	return total, before
}

// beginning returns the position behind which the answer begins, or nil.
func (q *query) beginning() *position {
	switch {
	case q.after != nil:
		return &q.after.position
	case q.from != nil:
		return &position{name: q.from} // before the entries of that name
	}
	return nil
}

// countIn returns how many entries of a Version the conditions of a query select,
// and how many of them are before the beginning of the answer. It is not ok if the
// client has left.
func (q *query) countIn(v *listing.Version, done <-chan struct{}) (total, before int, ok bool) {
	if q.after == nil && q.isCounted(v) {
		total, before = q.countRanges(v)
		return total, before, true
	}
	conditions, begin := *q, q.beginning()
	conditions.limit, conditions.after, conditions.from, conditions.offset = 0, nil, nil, 0
	if known := q.selectsAll(); known && begin == nil {
		return v.Len, min(q.offset, v.Len), true
	}
	s := newSelection(v, &conditions, done)
	for s.Next() {
		if begin != nil && begin.compare(s.Name(), s.Source().Origin) >= 0 {
			before++
		} else if begin != nil && q.selectsAll() {
			return v.Len, before, true
		}
		total++
	}
	if begin == nil {
		before = min(q.offset, total)
	}
	return total, before, s.Err() == nil
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

// Err returns errClientLeft if reading has ended early.
func (s *selection) Err() error {
	if s.aborted {
		return errClientLeft
	}
	return nil
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
			if s.isBehind() && s.query.selectsInRange(s.Name(), &s.folded) {
				return true
			}
		}
		s.ranges = s.ranges[1:]
		s.seek()
	}
	return false
}

// seek moves to the beginning of what is left of the first range.
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

// isBehind reports whether the entry comes after those that are skipped.
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
	if s.read++; s.read%checkEvery != 0 {
		return s.aborted
	}
	select {
	case <-s.done:
		s.aborted = true
	default:
	}
	return s.aborted
}

// selectedChanges reads the entries of a Difference that a query selects. The
// origins are selected already.
type selectedChanges struct {
	*listing.Difference
	query  *query
	ranges [][]byte // prefixes of what is left to read; the first is being read
	folded []byte   // for query.selectsInRange
}

// newSelectedChanges returns a reader before the first entry. ranges are those of
// the query.
func newSelectedChanges(d *listing.Difference, q *query, ranges [][]byte) *selectedChanges {
	s := &selectedChanges{Difference: d, query: q, ranges: ranges}
	s.seek()
	return s
}

func (s *selectedChanges) seek() {
	if len(s.ranges) > 0 && len(s.ranges[0]) > 0 {
		s.Seek(s.ranges[0])
	}
}

// Next moves to the next entry and reports whether there is one.
func (s *selectedChanges) Next() bool {
	for len(s.ranges) > 0 {
		for s.Difference.Next() && bytes.HasPrefix(s.Name(), s.ranges[0]) {
			if s.query.selectsInRange(s.Name(), &s.folded) {
				return true
			}
		}
		s.ranges = s.ranges[1:]
		s.seek()
	}
	return false
}

// touches reports whether the changes have an entry that the query selects.
func (q *query) touches(c *listing.Changes) bool {
	ranges := q.ranges()
	return newSelectedChanges(c.Removed(), q, ranges).Next() || newSelectedChanges(c.Added(), q, ranges).Next()
}

// ranges returns prefixes of all names that the query selects, ascending, none
// covering another.
func (q *query) ranges() [][]byte {
	if q.ignoreCase && (q.prefixes != nil || q.globs != nil) {
		return orEverything(nil) // the order of names knows case
	}
	if q.globs == nil {
		return orEverything(q.prefixes)
	}
	var both [][]byte
	for _, p := range orEverything(q.prefixes) {
		for i := range q.globs {
			if longer, ok := bothPrefixes(p, q.globs[i].Prefix()); ok {
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

// bothPrefixes returns the prefix of the names that have both prefixes. It is not
// ok if there can be no such name.
func bothPrefixes(a, b []byte) (longer []byte, ok bool) {
	if len(a) < len(b) {
		a, b = b, a
	}
	return a, bytes.HasPrefix(a, b)
}
