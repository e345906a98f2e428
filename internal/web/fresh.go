package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/roster"
)

// Fleet is the scouts behind the list. Its methods are called by many at once.
type Fleet interface {
	// Barrier has the scouts of the wanted origins rescan their disks, and returns
	// the list when all have, or ctx is done. It has all that was on their disks
	// at the call, but for what the scouts may lack that are named.
	Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed)
	// Roster says who is there, who has left and who was refused.
	Roster() roster.Roster
}

// longestLook is the longest that scouts may be given to look at their disks.
const longestLook = time.Minute

// unconfirmedHeader says how many scouts an answer names, or would if its format
// could.
const unconfirmedHeader = "Scout-Unconfirmed"

func (q *query) parseFresh(value string) (err error) {
	if q.fresh, err = time.ParseDuration(value); err != nil {
		return fmt.Errorf("%.40q is not a duration such as 500ms or 2s", value)
	}
	if q.fresh <= 0 || q.fresh > longestLook {
		return fmt.Errorf("%.40q is not more than 0 and at most %s", value, longestLook)
	}
	return nil
}

// checkFresh looks at what a look has to do with. The error is for the client.
func (a *answer) checkFresh() error {
	switch q := a.query; {
	case q.fresh == 0:
		return nil
	case a.watched():
		return errors.New("fresh: is for one list; leave it out to watch")
	case q.wait > 0:
		return errors.New("fresh and wait: ask for one of them, what is on the disks now or what will change")
	}
	return nil
}

// look makes a an answer with the list as it is once the scouts that it is about
// have looked at their disks. It is false when it has answered already, or there
// is nobody to answer.
func (h *Handler) look(w http.ResponseWriter, r *http.Request, a *answer) bool {
	leave, ok := h.watchers.enter(w)
	if !ok {
		return false
	}
	defer leave()
	ctx, cancel := h.watchers.context(r.Context())
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, a.query.fresh)
	defer cancel()
	a.version, a.unconfirmed = h.fleet.Barrier(ctx, a.query.selectsOrigin)
	w.Header().Set(unconfirmedHeader, strconv.Itoa(len(a.unconfirmed)))
	return r.Context().Err() == nil
}

// appendUnconfirmed appends who is named in JSON, one a line.
func appendUnconfirmed(p []byte, unconfirmed []roster.Unconfirmed) []byte {
	p = append(p, `,"unconfirmed":`...)
	return appendLines(p, unconfirmed, func(p []byte, u roster.Unconfirmed) []byte {
		o := newJSONObject(p)
		o.origin(u.Origin)
		o.text("reason", u.Reason)
		return o.end()
	})
}

// doubts is what an entity tag says of who is named: nothing when nobody is.
func (a *answer) doubts() string {
	if len(a.unconfirmed) == 0 {
		return ""
	}
	return fmt.Sprintf("-%016x", xxhash.Sum64(appendUnconfirmed(nil, a.unconfirmed)))
}
