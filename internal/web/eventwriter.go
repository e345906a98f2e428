package web

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"scout/internal/listing"
)

// What a reader of events may do to the scoutmaster: to hold what it is being
// told of, for as long as it takes some of it and is not too slow.
const (
	eventTimeout = 30 * time.Second // without taking anything
	eventPace    = 64 << 10         // bytes a second that it must take of one moment, on average
	eventPiece   = 16 << 10         // bytes that are written at a time
)

// eventWriter writes events, each moment's within bounded time.
type eventWriter struct {
	framing
	out     http.ResponseWriter
	control *http.ResponseController

	buf   []byte
	some  bool      // the event has an entry
	began time.Time // when the moment did
	sent  int       // bytes since then

	mu     sync.Mutex
	latest time.Time // until when anything may be written, once that is known
}

func newEventWriter(w http.ResponseWriter, f framing) *eventWriter {
	return &eventWriter{framing: f, out: w, control: http.NewResponseController(w)}
}

// begin begins an event with an id.
func (w *eventWriter) begin(kind, id string) {
	w.buf, w.some = w.framing.begin(w.buf, kind, id), false
}

// entry adds an entry to the event.
func (w *eventWriter) entry(name []byte, s *listing.Source) error {
	if w.some {
		w.buf = append(w.buf, ',')
	}
	w.some = true
	w.buf = append(w.buf, jsonOpen...)
	w.buf = appendJSONText(w.buf, name)
	if !utf8.Valid(name) {
		w.buf = append(w.buf, `","filename_base64":"`...)
		w.buf = base64.StdEncoding.AppendEncode(w.buf, name)
	}
	w.buf = append(w.buf, fragmentOf(s, formatEvents)...)
	if len(w.buf) < eventPiece {
		return nil
	}
	return w.write()
}

// end ends the event.
func (w *eventWriter) end() { w.buf = append(w.buf, w.framing.end...) }

// heartbeat adds a sign of life.
func (w *eventWriter) heartbeat(id string) { w.buf = w.framing.heartbeat(w.buf, id) }

// flush sends what was added, which ends a moment.
func (w *eventWriter) flush() error {
	if err := w.write(); err != nil {
		return err
	}
	w.sent = 0
	if cap(w.buf) > eventPiece/4 {
		w.buf = nil // idle readers are many
	}
	return w.control.Flush()
}

// hurry leaves the reader a second for all that is still to be written. It may be
// called by another goroutine.
func (w *eventWriter) hurry() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.latest = time.Now().Add(time.Second)
	_ = w.control.SetWriteDeadline(w.latest)
}

// allow sets until when the next write has to be done, which does not take back
// what hurry has said.
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
	runtime.Gosched() // a thousand who begin at once must not keep the scouts waiting
	return err
}
