package web

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"scout/internal/listing"
	"scout/internal/roster"
)

// Seconds after which a client is asked to come back.
const (
	retryBehind     = 1
	retryCatchingUp = 1
	retryCutOff     = 5 // about as long as a log without a leader stands still
)

// awaitRevision waits until the list has come to the revisions that the client of a
// request has seen, wherever that was, and returns the list then. A request that
// brings no tag, cursor or id of another scoutmaster does not wait.
func (h *Handler) awaitRevision(ctx context.Context, p *plan) (*listing.Version, *refusal) {
	v, refused := h.current()
	if refused != nil || !p.precedes(v) {
		return v, refused
	}
	late := time.NewTimer(h.deadline)
	defer late.Stop()
	for {
		unready := h.scoutsBehind.ReadyChanged()
		v, refused := h.current()
		if refused != nil || !p.precedes(v) {
			return v, refused
		}
		select {
		case <-h.listing.After(v.Epoch, v.Revision):
		case <-unready:
		case <-late.C:
			return nil, refuse(behind, fmt.Sprintf("the list is at %s here, and the request is from one who has seen a later one; "+
				"ask again, or another scoutmaster", v.Tag())).after(retryBehind)
		case <-h.watchers.ended.Done():
			return nil, refuse(notReady, "the scoutmaster is stopping").after(retryBehind)
		case <-ctx.Done():
			return v, nil // nobody reads the answer
		}
	}
}

// current returns the list as it is now, or why it must not be served.
func (h *Handler) current() (*listing.Version, *refusal) {
	v := h.listing.Current()
	return v, h.unready() // in this order: see Scouts
}

// unready returns the refusal of requests for the list, if it must not be served
// now, or nil.
func (h *Handler) unready() *refusal {
	err := h.scoutsBehind.Ready()
	switch {
	case err == nil:
		return nil
	case errors.Is(err, roster.ErrCutOff):
		return refuse(cutOff, err.Error()+": ask another scoutmaster").after(retryCutOff)
	case errors.Is(err, roster.ErrBehind):
		return refuse(behind, err.Error()+": ask again, or another scoutmaster").after(retryBehind)
	}
	return refuse(catchingUp, err.Error()+": ask again, or another scoutmaster").after(retryCatchingUp)
}

// precedes reports whether a Version is earlier than one that the client has seen.
func (p *plan) precedes(v *listing.Version) bool {
	if c := p.query.after; c != nil && v.Precedes(c.epoch, c.revision) {
		return true
	}
	if id := p.query.lastEventID; id != nil && v.Precedes(id.epoch, max(id.revision, id.gone)) {
		return true
	}
	for _, tag := range p.known {
		if epoch, revision, _, ok := parseTag(tag); ok && v.Precedes(epoch, revision) {
			return true
		}
	}
	return false
}

// parseTag takes an entity tag of a list apart, in any format and whatever scouts it
// names. The rest is that, with the quote at its end.
func parseTag(tag string) (epoch, revision uint64, rest string, ok bool) {
	tag, quoted := strings.CutPrefix(strings.TrimPrefix(tag, "W/"), `"`)
	first, rest, _ := strings.Cut(tag, "-")
	second, rest, more := strings.Cut(rest, "-")
	epoch, badEpoch := strconv.ParseUint(first, 16, 64)
	revision, badRevision := strconv.ParseUint(second, 10, 64)
	return epoch, revision, rest, quoted && more && badEpoch == nil && badRevision == nil
}
