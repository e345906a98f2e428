package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"
)

// Change is a change of the files that a Query selects.
type Change struct {
	// Reset says that the files added from here on are the whole list: discard all
	// known files. The first Change is a reset, unless Watch resumes.
	Reset   bool
	Removed []File
	Added   []File
	// ID identifies the state after this Change. It is empty for a part of a reset,
	// if more of the reset follows.
	ID string
}

// chunk is the number of files in one Change of a long reset.
const chunk = 1000

// The wait before a broken stream is opened again: at first, and at most.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// longestSilence is the time without data after which a stream counts as broken.
// The scoutmaster sends a heartbeat every 15 s.
const longestSilence = 45 * time.Second

// WatchOptions configure a Watch. The zero WatchOptions suit most programs.
type WatchOptions struct {
	// From is the ID of a Change from an earlier Watch with the same Query, to
	// resume after it. The first Change is a reset if the scoutmaster does not know
	// the changes since then.
	From string
	// Patient makes Watch retry from the beginning. Otherwise an error before the
	// first connection ends it.
	Patient bool
	// OnError is called with each error after which Watch tries again. It may be
	// nil.
	OnError func(error)
}

// Watch yields the existing files, and then each change of the list, until ctx is
// done or the caller leaves the loop. If the stream breaks, Watch resumes after the
// last Change that it yielded, at another scoutmaster if there are several. If the
// scoutmaster does not know the changes since then, for example after a restart,
// Watch yields a reset.
//
// An error is the last element: a [*ProblemError], if the scoutmaster rejects the
// query, and any error before the first connection, unless the options say
// otherwise.
func (c *Client) Watch(ctx context.Context, q Query, o WatchOptions) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := watch{client: c, query: q, yield: yield, id: o.From, wait: firstRetry, connected: o.Patient}
		for ctx.Err() == nil && !w.left {
			err := w.follow(ctx)
			if w.left || ctx.Err() != nil {
				return
			}
			if p, ok := errors.AsType[*ProblemError](err); !w.connected || ok && !p.passing() {
				yield(Change{}, err)
				return
			}
			if o.OnError != nil && err != nil {
				o.OnError(err)
			}
			w.pause(ctx)
		}
	}
}

// passing reports whether a later request may succeed.
func (p *ProblemError) passing() bool {
	return p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests
}

type watch struct {
	client    *Client
	query     Query
	yield     func(Change, error) bool
	left      bool          // the caller left the loop
	connected bool          // errors are no reason to give up any more
	id        string        // of the last Change; empty: only a reset can follow
	wait      time.Duration // before the next attempt
}

// follow yields the changes of one stream until it ends.
func (w *watch) follow(ctx context.Context) error {
	values := w.query.values()
	values.Set("format", "ndjson")
	values.Set("watch", "true")
	header := http.Header{}
	if w.id != "" {
		header.Set("Last-Event-ID", w.id)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	silence := time.AfterFunc(longestSilence, cancel)
	defer silence.Stop()
	answer, err := w.client.get(ctx, "files", values, header)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // the stream has ended, or the caller left the loop
	w.connected = true
	for d := json.NewDecoder(&listener{answer.Body, silence}); !w.left; {
		if err := w.event(d); err != nil {
			return err
		}
	}
	return nil
}

// listener reads a stream and lets the timer run only during a Read: the time that
// the caller takes between two reads does not count as silence.
type listener struct {
	io.Reader
	silence *time.Timer
}

func (l *listener) Read(p []byte) (int, error) {
	l.silence.Reset(longestSilence)
	defer l.silence.Stop()
	return l.Reader.Read(p)
}

// pause waits before the next attempt: longer each time, and with jitter, because
// other clients lost the same scoutmaster.
func (w *watch) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(w.wait/2 + rand.N(w.wait/2)):
	}
	w.wait = min(2*w.wait, lastRetry)
}

// event reads one event and yields it; it yields the parts of a reset while it
// reads them:
//
//	{"event":"add","id":"…","files":[…]}
func (w *watch) event(d *json.Decoder) error {
	if err := expect(d, json.Delim('{')); err != nil {
		return err
	}
	var e event
	for d.More() && !w.left {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "event":
			err = d.Decode(&e.kind)
		case "id":
			err = d.Decode(&e.id)
		case "files":
			err = w.files(d, &e)
		default:
			err = d.Decode(new(json.RawMessage)) // from a later version
		}
		if err != nil {
			return err
		}
	}
	if w.left {
		return nil
	}
	w.flush(&e, e.id)
	return expect(d, json.Delim('}'))
}

// event is an event that is being read.
type event struct {
	kind  string
	id    string
	files []File // not yet yielded
	begun bool   // some files were yielded
}

// files reads the files of an event. It yields parts of a reset. A part of another
// event would be a state that has no id.
func (w *watch) files(d *json.Decoder, e *event) error {
	if err := expect(d, json.Delim('[')); err != nil {
		return err
	}
	for d.More() && !w.left {
		if e.kind == "reset" && len(e.files) == chunk {
			w.flush(e, "")
		}
		var f File
		if err := d.Decode(&f); err != nil {
			return err
		}
		e.files = append(e.files, f)
	}
	if w.left {
		return nil
	}
	return expect(d, json.Delim(']'))
}

// flush yields the files that were read of an event.
func (w *watch) flush(e *event, id string) {
	change := Change{ID: id}
	switch e.kind {
	case "reset":
		change.Reset, change.Added = !e.begun, e.files
		w.id = "" // until the reset is complete
	case "add":
		change.Added = e.files
	case "remove":
		change.Removed = e.files
	case "heartbeat":
		w.id = id // no selected file has changed since the last Change
		return
	default:
		return // from a later version
	}
	e.files, e.begun = nil, true
	w.left = !w.yield(change, nil)
	w.wait = firstRetry
	if id != "" {
		w.id = id
	}
}

func expect(d *json.Decoder, want json.Delim) error {
	got, err := d.Token()
	if err == nil && got != want {
		err = fmt.Errorf("the stream has %v in the place of %v", got, want)
	}
	if errors.Is(err, io.EOF) {
		return cut(err)
	}
	return err
}
