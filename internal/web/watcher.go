package web

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"scout/internal/listing"
)

// heartbeatTime is for how long nothing may be said to a reader of events.
const heartbeatTime = 15 * time.Second

// watch answers with the list, or what has changed since the reader last read,
// and then with what changes, until the reader leaves or the scoutmaster stops.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request, a *answer) {
	framing := &eventLines
	if a.format == formatEvents {
		framing = &eventStream
	}
	w.Header().Set("Content-Type", a.format.mediaType())
	w.Header().Set("X-Accel-Buffering", "no") // what a proxy holds back is late
	if r.Method == http.MethodHead {
		return
	}
	leave, ok := h.watchers.enter(w)
	if !ok {
		return
	}
	defer leave()
	ctx, cancel := h.watchers.context(r.Context())
	defer cancel()
	defer h.listing.Watch()()
	reader := &watcher{listing: h.listing, query: a.query, ranges: a.query.ranges(), out: newEventWriter(w, *framing)}
	if err := reader.run(ctx, a.query.lastEventID); err != nil && ctx.Err() == nil {
		h.log.Debug("watcher dropped", zap.String("remote", r.RemoteAddr), zap.Error(err))
	}
}

// watcher tells one reader what comes and goes.
type watcher struct {
	listing *listing.Listing
	query   *query
	ranges  [][]byte // of the query
	out     *eventWriter

	epoch uint64
	at    uint64 // the revision of the list that the reader has
}

// run tells all that happens after an event, if there was one, until ctx is done
// or the reader takes no more.
func (w *watcher) run(ctx context.Context, last *eventID) error {
	v := w.listing.Current()
	w.epoch = v.Epoch
	if last != nil && last.epoch == w.epoch {
		w.at = last.revision
	} else if err := w.reset(ctx, v); err != nil {
		return err
	}
	if err := w.out.flush(); err != nil { // the header, at least
		return err
	}
	quiet := time.NewTimer(heartbeatTime)
	defer quiet.Stop()
	for {
		told, err := w.catchUp(ctx)
		if err != nil {
			return err
		}
		if told {
			quiet.Reset(heartbeatTime)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.listing.After(w.at):
		case <-quiet.C:
			w.out.heartbeat(w.id(w.at))
			if err := w.out.flush(); err != nil {
				return err
			}
			quiet.Reset(heartbeatTime)
		}
	}
}

func (w *watcher) id(revision uint64) string { return eventID{w.epoch, revision}.String() }

// catchUp tells all that has happened, and reports whether that was anything.
func (w *watcher) catchUp(ctx context.Context) (told bool, err error) {
	for ctx.Err() == nil {
		c, ok := w.listing.Since(w.at, w.query.selectsOrigin)
		switch {
		case !ok:
			told, err = true, w.reset(ctx, w.listing.Current())
		case c.Revision == w.at:
			return told, nil
		default:
			some, failed := w.tell(c)
			told, err = told || some, failed
		}
		if err != nil {
			return told, err
		}
	}
	return told, nil
}

// reset tells the whole list, straight from its blocks.
func (w *watcher) reset(ctx context.Context, v *listing.Version) error {
	w.out.begin("reset", w.id(v.Revision))
	s := newSelection(v, w.query, ctx.Done())
	for s.Next() {
		if err := w.out.entry(s.Name(), s.Source()); err != nil {
			return err
		}
	}
	if s.aborted {
		return errLeft
	}
	w.out.end()
	w.at = v.Revision
	return w.out.flush()
}

// tell tells the changes of a moment, and reports whether there were any that the
// query selects. The last of its events has the id: a reader that is cut off
// between the two is told both again.
func (w *watcher) tell(c *listing.Changes) (some bool, err error) {
	removed, added := newPicked(c.Removed(), w.query, w.ranges), newPicked(c.Added(), w.query, w.ranges)
	moreRemoved, moreAdded := removed.Next(), added.Next()
	id := w.id(c.Revision)
	if moreRemoved {
		only := id
		if moreAdded {
			only = ""
		}
		if err := w.event("remove", only, removed); err != nil {
			return true, err
		}
	}
	if moreAdded {
		if err := w.event("add", id, added); err != nil {
			return true, err
		}
	}
	w.at = c.Revision
	if !moreRemoved && !moreAdded {
		return false, nil
	}
	return true, w.out.flush()
}

// event tells one event, whose first entry p stands at.
func (w *watcher) event(kind, id string, p *picked) error {
	w.out.begin(kind, id)
	for more := true; more; more = p.Next() {
		if err := w.out.entry(p.Name(), p.Source()); err != nil {
			return err
		}
	}
	w.out.end()
	return nil
}
