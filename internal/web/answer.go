package web

import (
	"net/http"
	"strings"

	"scout/internal/listing"
	"scout/internal/roster"
)

// answer is all that is decided of an answer before it is written.
type answer struct {
	version     *listing.Version
	query       *query
	format      format
	coding      coding
	next        string               // the cursor of the next page, "" when there is none
	unconfirmed []roster.Unconfirmed // whose entries may lack something that a fresh list has to have
	done        <-chan struct{}      // the client has left
}

// entries returns the entries that are to be written.
func (a *answer) entries() *selection { return newSelection(a.version, a.query, a.done) }

// isWhole reports whether the answer consists of all entries, and all are in
// leaves.
func (a *answer) isWhole() bool {
	q := a.query
	return q.selectsAll() && q.limit == 0 && q.after == nil && a.version.Merged()
}

// turn finds out where the next page begins. It reads the whole page, but
// renders nothing: so a page of any size costs no memory, and what is to be said
// before it is known. It reports whether the client still waits.
func (a *answer) turn() bool {
	if a.query.limit == 0 {
		return true
	}
	s, c := a.entries(), cursor{epoch: a.version.Epoch}
	for s.Next() {
		if s.left == 0 {
			c.name, c.origin = append(c.name, s.Name()...), s.Source().Origin
		}
	}
	if s.more() {
		c.query = a.query.hash()
		a.next = c.String()
	}
	return !s.aborted
}

// more returns what JSON has besides the entries.
func (a *answer) more() string {
	var p []byte
	if a.next != "" {
		p = append(append(append(p, `,"next":"`...), a.next...), '"')
	}
	if a.query.fresh > 0 {
		p = appendUnconfirmed(p, a.unconfirmed)
	}
	return string(p)
}

// link returns the URL of the next page.
func (a *answer) link(r *http.Request) string {
	values := r.URL.Query()
	values.Set("after", a.next)
	return "<" + r.URL.Path + "?" + values.Encode() + `>; rel="next"`
}

// vary returns the headers that the answer depends on.
func (q *query) vary() string {
	if q.format != anyFormat {
		return "Accept-Encoding"
	}
	return "Accept, Accept-Encoding"
}

// tag returns the entity tag of an answer. It is another one after each change
// of the list, and after each restart of the scoutmaster. It is a weak one, that
// of the answer in any coding.
func (a *answer) tag() string {
	return `W/"` + a.version.Tag() + a.doubts() + "-" + a.format.String() + `"`
}

// isKnown reports whether the values of an If-None-Match header include a tag.
func isKnown(header []string, tag string) bool {
	for known := range strings.SplitSeq(strings.Join(header, ","), ",") {
		known = strings.TrimSpace(known)
		if known == "*" || strings.TrimPrefix(known, "W/") == strings.TrimPrefix(tag, "W/") {
			return true
		}
	}
	return false
}
