package web

import (
	"context"
	"net/http"
	"strings"
)

// hold waits until there is something new for a client that says what it knows,
// or for as long as it wants. It reports whether a is known to the client then,
// and is not ok when it has answered already.
func (h *Handler) hold(w http.ResponseWriter, r *http.Request, a *answer) (known, ok bool) {
	since, some := a.knownRevision(r.Header.Values("If-None-Match"))
	if !some {
		return false, true
	}
	leave, ok := h.watchers.enter(w)
	if !ok {
		return false, false
	}
	defer leave()
	ctx, cancel := h.watchers.context(r.Context())
	defer cancel()
	defer h.listing.Watch()()
	ctx, cancel = context.WithTimeout(ctx, a.query.wait)
	defer cancel()
	known = h.unchanged(ctx, a, since)
	return known, r.Context().Err() == nil
}

// unchanged waits until something that is asked for has changed since a revision,
// or ctx is done, and reports whether nothing has. It makes a an answer with the
// list as it is then.
func (h *Handler) unchanged(ctx context.Context, a *answer, since uint64) bool {
	for {
		now := h.listing.Current()
		for since < now.Revision {
			c, ok := h.listing.Since(since, a.query.selectsOrigin)
			if !ok || a.query.touches(c) {
				a.version = h.listing.Current()
				return false
			}
			since = c.Revision
		}
		a.version = now
		select {
		case <-h.listing.After(since):
		case <-ctx.Done():
			return true
		}
	}
}

// knownRevision returns the latest revision of which the client has the answer,
// given the values of its If-None-Match header. It is not ok when there is none.
func (a *answer) knownRevision(header []string) (latest uint64, ok bool) {
	for tag := range strings.SplitSeq(strings.Join(header, ","), ",") {
		tag = strings.TrimSpace(tag)
		if tag == "*" {
			return a.version.Revision, true
		}
		tag, quoted := strings.CutPrefix(strings.TrimPrefix(tag, "W/"), `"`)
		tag, same := strings.CutSuffix(tag, "-"+a.format.String()+`"`)
		id, err := parseEventID(tag)
		if quoted && same && err == nil && id.gone == 0 && id.epoch == a.version.Epoch && id.revision <= a.version.Revision {
			latest, ok = max(latest, id.revision), true
		}
	}
	return latest, ok
}
