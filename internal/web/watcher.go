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
	defer context.AfterFunc(h.watchers.ended, reader.out.hurry)()
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
	if err := w.begin(ctx, last); err != nil {
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
			w.out.heartbeat(eventID{epoch: w.epoch, revision: w.at}.String())
			if err := w.out.flush(); err != nil {
				return err
			}
			quiet.Reset(heartbeatTime)
		}
	}
}

// begin takes a reader up where its last event left it, or else tells the whole
// list.
func (w *watcher) begin(ctx context.Context, last *eventID) error {
	v := w.listing.Current()
	w.epoch = v.Epoch
	if last == nil || last.epoch != w.epoch {
		return w.reset(ctx, v)
	}
	w.at = last.revision
	if last.gone == 0 {
		return nil
	}
	return w.complete(ctx, last.gone)
}

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
	w.out.begin("reset", v.Tag())
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
// query selects.
func (w *watcher) tell(c *listing.Changes) (some bool, err error) {
	removed, added := w.pick(c.Removed()), w.pick(c.Added())
	moreRemoved, moreAdded := removed.Next(), added.Next()
	if moreRemoved {
		id := eventID{epoch: w.epoch, revision: c.Revision}
		if moreAdded {
			id = eventID{w.epoch, w.at, c.Revision}
		}
		if err := w.event("remove", id, removed); err != nil {
			return true, err
		}
	}
	if moreAdded {
		if err := w.event("add", eventID{epoch: w.epoch, revision: c.Revision}, added); err != nil {
			return true, err
		}
	}
	w.at = c.Revision
	if !moreRemoved && !moreAdded {
		return false, nil
	}
	return true, w.out.flush()
}

// complete tells what came by a later revision to a reader that was told what had
// gone by then, and was cut off. To tell what has changed since, as if it had
// been told nothing, would miss what has come back meanwhile.
func (w *watcher) complete(ctx context.Context, later uint64) error {
	c, ok := w.listing.Between(w.at, later, w.query.selectsOrigin)
	if !ok {
		return w.reset(ctx, w.listing.Current())
	}
	w.at = later
	added := w.pick(c.Added())
	if !added.Next() {
		return nil
	}
	return w.event("add", eventID{epoch: w.epoch, revision: later}, added)
}

// pick returns a reader of those changes that the query selects.
func (w *watcher) pick(d *listing.Difference) *picked { return newPicked(d, w.query, w.ranges) }

// event tells one event, whose first entry p stands at.
func (w *watcher) event(kind string, id eventID, p *picked) error {
	w.out.begin(kind, id.String())
	for more := true; more; more = p.Next() {
		if err := w.out.entry(p.Name(), p.Source()); err != nil {
			return err
		}
	}
	w.out.end()
	return nil
}
