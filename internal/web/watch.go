package web

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/render"
)

// heartbeatTime is the longest silence towards a client that watches.
const heartbeatTime = 15 * time.Second

// watch answers with the list, or the changes since the client last read, and then
// with each change, until the client leaves or the scoutmaster stops.
func (h *Handler) watch(w http.ResponseWriter, r *http.Request, p *plan) {
	style := &render.EventLines
	if p.format == render.Events {
		style = &render.EventStream
	}
	w.Header().Set("Content-Type", p.format.MediaType())
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that buffers delays events
	if r.Method == http.MethodHead {
		return
	}
	ctx, leave := h.watchers.enter(w, r)
	if ctx == nil {
		return
	}
	defer leave()
	defer h.listing.Watch()()
	watcher := &watcher{
		listing: h.listing, scouts: h.scoutsBehind, query: p.query, ranges: p.query.ranges(), out: newEventWriter(w, style),
	}
	defer context.AfterFunc(h.watchers.ended, watcher.out.hurry)()
	if err := watcher.run(ctx, p.query.lastEventID); err != nil && ctx.Err() == nil {
		h.log.Debug("watcher dropped", zap.String("remote", r.RemoteAddr), zap.Error(err))
	}
}

// watcher tells one client what comes and goes.
type watcher struct {
	listing *listing.Listing
	scouts  Scouts
	query   *query
	ranges  [][]byte // of the query
	out     *eventWriter

	epoch uint64
	at    uint64 // the revision of the list that the client has
}

// errUnready ends a watch: the list must not be served any more.
var errUnready = errors.New("the list must not be served now")

// run tells everything that happens after the event last, if there is one, until
// ctx is done, the list must not be served, or the client accepts no more.
func (w *watcher) run(ctx context.Context, last *eventID) error {
	if err := w.begin(ctx, last); err != nil {
		return err
	}
	if err := w.out.flush(); err != nil { // the header, at least
		return err
	}
	silence := time.NewTimer(heartbeatTime)
	defer silence.Stop()
	for {
		unready := w.scouts.ReadyChanged()
		told, err := w.catchUp(ctx)
		if err != nil {
			return err
		}
		if told {
			silence.Reset(heartbeatTime)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.listing.After(w.epoch, w.at):
		case <-unready:
		case <-silence.C:
			w.out.heartbeat(eventID{epoch: w.epoch, revision: w.at}.String())
			if err := w.out.flush(); err != nil {
				return err
			}
			silence.Reset(heartbeatTime)
		}
	}
}

// begin resumes behind the event last, or else tells the whole list.
func (w *watcher) begin(ctx context.Context, last *eventID) error {
	v := w.listing.Current()
	if last == nil || last.epoch != v.Epoch {
		return w.reset(ctx, v)
	}
	w.epoch, w.at = last.epoch, last.revision
	if last.gone == 0 {
		return nil
	}
	return w.complete(ctx, last.gone)
}

// catchUp tells everything that has happened, and reports whether there was
// anything to tell.
func (w *watcher) catchUp(ctx context.Context) (told bool, err error) {
	for ctx.Err() == nil {
		c, ok := w.listing.Since(w.at, w.query.selectsOrigin)
		switch {
		case w.scouts.Ready() != nil: // asked after the changes were taken
			return told, errUnready
		case !ok, c.Epoch != w.epoch:
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

// reset tells the whole list.
func (w *watcher) reset(ctx context.Context, v *listing.Version) error {
	if w.scouts.Ready() != nil { // asked after v was taken
		return errUnready
	}
	w.out.begin("reset", v.Tag())
	s := newSelection(v, w.query, ctx.Done())
	for s.Next() {
		if err := w.out.entry(s.Name(), s.Source().Origin); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return err
	}
	w.out.end()
	w.epoch, w.at = v.Epoch, v.Revision
	return w.out.flush()
}

// tell tells the changes of one history entry, and reports whether the query
// selects any.
func (w *watcher) tell(c *listing.Changes) (some bool, err error) {
	removed, added := w.selected(c.Removed()), w.selected(c.Added())
	anyRemoved, anyAdded := removed.Next(), added.Next()
	if anyRemoved {
		id := eventID{epoch: w.epoch, revision: c.Revision}
		if anyAdded {
			id = eventID{w.epoch, w.at, c.Revision}
		}
		if err := w.event("remove", id, removed); err != nil {
			return true, err
		}
	}
	if anyAdded {
		if err := w.event("add", eventID{epoch: w.epoch, revision: c.Revision}, added); err != nil {
			return true, err
		}
	}
	w.at = c.Revision
	if !anyRemoved && !anyAdded {
		return false, nil
	}
	return true, w.out.flush()
}

// complete tells what was added by a later revision to a client that was told what
// was removed by then, and was cut off. To tell what has changed since w.at would
// miss names that were removed and have come back.
func (w *watcher) complete(ctx context.Context, later uint64) error {
	c, ok := w.listing.Between(w.at, later, w.query.selectsOrigin)
	switch {
	case w.scouts.Ready() != nil: // asked after the changes were taken
		return errUnready
	case !ok, c.Epoch != w.epoch:
		return w.reset(ctx, w.listing.Current())
	}
	w.at = later
	added := w.selected(c.Added())
	if !added.Next() {
		return nil
	}
	return w.event("add", eventID{epoch: w.epoch, revision: later}, added)
}

func (w *watcher) selected(d *listing.Difference) *selectedChanges {
	return newSelectedChanges(d, w.query, w.ranges)
}

// event tells one event, whose first entry s stands at.
func (w *watcher) event(kind string, id eventID, s *selectedChanges) error {
	w.out.begin(kind, id.String())
	for more := true; more; more = s.Next() {
		if err := w.out.entry(s.Name(), s.Source().Origin); err != nil {
			return err
		}
	}
	w.out.end()
	return nil
}

// Bounds on a client that watches: the scoutmaster holds what it is telling the
// client for as long as the client accepts some of it and is not too slow.
const (
	eventTimeout = 30 * time.Second // without accepting anything
	eventPace    = 64 << 10         // bytes a second that it must accept between two flushes, on average
	eventPiece   = 16 << 10         // bytes that are written at a time
)

// eventWriter writes events, what lies between two flushes within bounded time.
type eventWriter struct {
	style   *render.EventStyle
	out     http.ResponseWriter
	control *http.ResponseController

	buf   []byte
	some  bool      // the event has an entry
	began time.Time // of the first write since the last flush
	sent  int       // bytes since the last flush

	mu     sync.Mutex
	latest time.Time // the end of all writing; zero until it is known
}

func newEventWriter(w http.ResponseWriter, style *render.EventStyle) *eventWriter {
	return &eventWriter{style: style, out: w, control: http.NewResponseController(w)}
}

// begin begins an event.
func (w *eventWriter) begin(kind, id string) {
	w.buf, w.some = w.style.Begin(w.buf, kind, id), false
}

// entry adds an entry to the event.
func (w *eventWriter) entry(name []byte, o files.Origin) error {
	w.buf = w.style.Entry(w.buf, w.some, name, o)
	w.some = true
	if len(w.buf) < eventPiece {
		return nil
	}
	return w.write()
}

// end ends the event.
func (w *eventWriter) end() { w.buf = w.style.End(w.buf) }

// heartbeat adds a sign of life.
func (w *eventWriter) heartbeat(id string) { w.buf = w.style.Heartbeat(w.buf, id) }

// flush sends what was added.
func (w *eventWriter) flush() error {
	if err := w.write(); err != nil {
		return err
	}
	w.sent = 0
	if cap(w.buf) > eventPiece/4 {
		w.buf = nil // idle clients are many
	}
	return w.control.Flush()
}

// hurry leaves the client one second for everything that is still to be written.
// Another goroutine may call it.
func (w *eventWriter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest = time.Now().Add(time.Second)
	_ = w.control.SetWriteDeadline(w.latest)
}

// allow sets the deadline of the next write. It does not extend what hurry has
// set.
func (w *eventWriter) allow(until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.latest.IsZero() && w.latest.Before(until) {
		until = w.latest
	}
	if err := w.control.SetWriteDeadline(until); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("set a write deadline: %w", err)
	}
	return nil
}

func (w *eventWriter) write() error {
	now := time.Now()
	if w.sent == 0 {
		w.began = now
	}
	pace := time.Duration(w.sent) * time.Second / eventPace
	limit := w.began.Add(pace + eventTimeout)
	if soon := now.Add(eventTimeout); soon.Before(limit) {
		limit = soon
	}
	if err := w.allow(limit); err != nil {
		return err
	}
	w.sent += len(w.buf)
	_, err := w.out.Write(w.buf)
	w.buf = w.buf[:0]
	runtime.Gosched() // a thousand clients that begin at once must not delay the scouts
	return err
}

// eventID names the list that a client has after an event: that of a revision, in
// one epoch. Between the two events of one history entry, remove and add, the
// client also lacks what was removed by a later revision.
type eventID struct {
	epoch, revision uint64
	gone            uint64 // that later revision, or 0
}

var errNoEventID = errors.New("is not the id of an event; take it as it is from an event, or leave it out")

// parseEventID is the inverse of String.
func parseEventID(s string) (id eventID, err error) {
	epoch, revisions, _ := strings.Cut(s, "-")
	revision, gone, between := strings.Cut(revisions, "-")
	if id.epoch, err = strconv.ParseUint(epoch, 16, 64); err != nil {
		return id, errNoEventID
	}
	if id.revision, err = strconv.ParseUint(revision, 10, 64); err != nil {
		return id, errNoEventID
	}
	if between {
		id.gone, err = strconv.ParseUint(gone, 10, 64)
	}
	if err != nil || id.String() != s {
		return id, errNoEventID
	}
	return id, nil
}

// String returns the text of [listing.Version.Tag], with the later revision if
// there is one.
func (id eventID) String() string {
	v := listing.Version{Epoch: id.epoch, Revision: id.revision}
	if id.gone == 0 {
		return v.Tag()
	}
	return fmt.Sprintf("%s-%d", v.Tag(), id.gone)
}

// watchers limits the clients that wait for something: that watch, that poll, and
// that ask for a fresh list.
type watchers struct {
	most int
	log  *zap.Logger

	ended context.Context // done when all must leave
	end   context.CancelFunc

	mu      sync.Mutex
	now     int
	refused bool // since there was last room for one
}

func newWatchers(most int, log *zap.Logger) *watchers {
	ws := &watchers{most: most, log: log}
	ws.ended, ws.end = context.WithCancel(context.Background())
	return ws
}

// enter admits one more client and returns a context that is done when the client
// has left, or must. leave has to be called in the end. If there are too many
// clients, enter answers, and returns nil.
func (ws *watchers) enter(w http.ResponseWriter, r *http.Request) (ctx context.Context, leave func()) {
	if !ws.admit() {
		refuse(tooManyWatchers, fmt.Sprintf("%d clients watch the list or wait for it to change, and no more may at once; "+
			"try again later, or ask without watching", ws.most)).after(retryLeast + rand.IntN(retryMost-retryLeast+1)).answer(w)
		return nil, nil
	}
	ctx, cancel := context.WithCancel(r.Context())
	forget := context.AfterFunc(ws.ended, cancel)
	return ctx, func() {
		forget()
		cancel()
		ws.leave()
	}
}

// A client that is refused is asked to come back after this many seconds, at
// random.
const (
	retryLeast = 2
	retryMost  = 10
)

func (ws *watchers) admit() bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.now < ws.most {
		ws.now++
		return true
	}
	if !ws.refused {
		ws.refused = true
		ws.log.Warn("watchers refused", zap.Int("watchers", ws.most))
	}
	return false
}

func (ws *watchers) leave() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.now--
	ws.refused = false
}
