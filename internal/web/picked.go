package web

import (
	"bytes"

	"scout/internal/listing"
)

// picked reads the entries of a Difference that a query selects, whose origins
// are selected already.
type picked struct {
	*listing.Difference
	query  *query
	ranges [][]byte // prefixes of what is left to read; the first is being read
}

// newPicked returns a reader before the first entry. ranges are those of the query.
func newPicked(d *listing.Difference, q *query, ranges [][]byte) *picked {
	p := &picked{Difference: d, query: q, ranges: ranges}
	p.seek()
	return p
}

func (p *picked) seek() {
	if len(p.ranges) > 0 && len(p.ranges[0]) > 0 {
		p.Seek(p.ranges[0])
	}
}

// Next moves to the next entry and reports whether there is one.
func (p *picked) Next() bool {
	for len(p.ranges) > 0 {
		for p.Difference.Next() && bytes.HasPrefix(p.Name(), p.ranges[0]) {
			if p.query.matches(p.Name()) {
				return true
			}
		}
		p.ranges = p.ranges[1:]
		p.seek()
	}
	return false
}

// touches reports whether changes are of anything that a query selects.
func (q *query) touches(c *listing.Changes) bool {
	ranges := q.ranges()
	return newPicked(c.Removed(), q, ranges).Next() || newPicked(c.Added(), q, ranges).Next()
}
