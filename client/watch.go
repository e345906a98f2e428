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

// Change is what happened to the files that a Query selects.
type Change struct {
	// Reset says that all that was known is void: what is added from here on is
	// all that there is. The first Change is a reset.
	Reset   bool
	Removed []File
	Added   []File
	// ID names what has been told with this Change. It is empty for a part of a reset
	// of which more follows.
	ID string
}

// chunk is how many files of a long reset come in one Change.
const chunk = 1000

// How long to wait before a stream that broke is opened again: at first, and
// at most.
const (
	firstRetry = 100 * time.Millisecond
	lastRetry  = 10 * time.Second
)

// longestSilence is for how long nothing may come of a stream, in which there is
// a heartbeat every 15 s, before it is taken for broken.
const longestSilence = 45 * time.Second

// Watch yields the files that there are and then each change, as soon as it is
// in the list, until ctx is done or the loop is left. When the stream breaks it
// goes on behind the last Change that was yielded, without a gap, or with a reset
// when what happened meanwhile is not known any more: after the scoutmaster was
// restarted, say.
//
// An error comes last, and only for a question that the scoutmaster does not
// take: a [*ProblemError].
func (c *Client) Watch(ctx context.Context, q Query) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		w := watch{client: c, query: q, yield: yield, wait: firstRetry}
		for ctx.Err() == nil && !w.left {
			err := w.follow(ctx)
			if p, ok := errors.AsType[*ProblemError](err); ok && !p.passing() {
				yield(Change{}, p)
				return
			}
			if !w.left {
				w.pause(ctx)
			}
		}
	}
}

// passing reports whether it is worth asking again.
func (p *ProblemError) passing() bool {
	return p.Status >= http.StatusInternalServerError || p.Status == http.StatusTooManyRequests
}

type watch struct {
	client *Client
	query  Query
	yield  func(Change, error) bool
	left   bool          // the loop was left
	id     string        // of what was yielded; empty when nothing can follow but a reset
	wait   time.Duration // before the next attempt
}

// follow yields what one stream has, until it ends.
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
	answer, err := w.client.get(ctx, values, header)
	if err != nil {
		return err
	}
	defer answer.Body.Close() //nolint:errcheck // it has ended, or nobody wants the rest
	for d := json.NewDecoder(&listener{answer.Body, silence}); !w.left; {
		if err := w.event(d); err != nil {
			return err
		}
	}
	return nil
}

// listener reads what must not be silent for long. What its reader does between
// two reads does not count.
type listener struct {
	io.Reader
	silence *time.Timer
}

func (l *listener) Read(p []byte) (int, error) {
	l.silence.Reset(longestSilence)
	defer l.silence.Stop()
	return l.Reader.Read(p)
}

// pause waits before the next attempt, longer each time, and not for as long as
// others who lost the same scoutmaster.
func (w *watch) pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(w.wait/2 + rand.N(w.wait/2)):
	}
	w.wait = min(2*w.wait, lastRetry)
}

// event yields one event, a reset as it comes, however long it is:
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
			err = d.Decode(new(json.RawMessage)) // of a later version
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

// event is one that is being read.
type event struct {
	kind  string
	id    string
	files []File // not yet yielded
	begun bool   // some were
}

// files reads an event's files. Those of a reset it yields, but for the last few.
// Of another event a part would be a state that no id names.
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

// flush yields what was read of an event.
func (w *watch) flush(e *event, id string) {
	change := Change{ID: id}
	switch e.kind {
	case "reset":
		change.Reset, change.Added = !e.begun, e.files
		w.id = "" // until it is whole
	case "add":
		change.Added = e.files
	case "remove":
		change.Removed = e.files
	case "heartbeat":
		w.id = id // nothing that is selected has happened up to there
		return
	default:
		return // of a later version
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
