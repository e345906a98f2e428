//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

const (
	// sampleEvery is how often what a watcher knows is held against the truth when
	// it is told nothing.
	sampleEvery = 100 * time.Millisecond
	// longestWatch is how long a watcher stays at most before it leaves and
	// resumes.
	longestWatch = 8 * time.Second
)

// format is one of those that changes are told in.
type format struct {
	query string
	read  func(*bufio.Reader) (testfleet.Change, error)
}

var (
	eventStream = format{"format=events", testfleet.ReadEvent}
	eventLines  = format{"format=ndjson&watch=true", testfleet.ReadLine}
)

// watcher keeps a list by what it is told comes and goes. It leaves now and then,
// and resumes where it was.
type watcher struct {
	*rand.Rand
	name   string
	format format

	recorder *recorder
	address  string // of the master
	origins  origins
	fresh    time.Duration

	list       map[string]history.Name // as it is told
	digest     uint64                  // of that
	id         string                  // of the last event
	came, went map[string]history.Name // since it was recorded
	current    bool                    // the list is that of now, as far as can be known
}

// follow watches until ctx is done.
func (w *watcher) follow(ctx context.Context) {
	w.list, w.came, w.went = map[string]history.Name{}, map[string]history.Name{}, map[string]history.Name{}
	for ctx.Err() == nil {
		visit, leave := context.WithTimeout(ctx, time.Second+time.Duration(w.Int64N(int64(longestWatch))))
		began := w.recorder.now()
		err := w.watch(visit)
		if visit.Err() == nil {
			w.recorder.add(history.Event{List: &history.List{Consumer: w.name, Start: began, Error: err.Error()}})
			testfleet.Sleep(ctx, sampleEvery)
		}
		leave()
	}
}

// watch watches until the stream ends, and says why it did.
func (w *watcher) watch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address+"/files?"+w.format.query, http.NoBody)
	if err != nil {
		return err
	}
	if w.id != "" {
		req.Header.Set("Last-Event-ID", w.id)
	}
	r, err := http.DefaultClient.Do(req) //nolint:bodyclose // it is, below, when it is there
	if err != nil {
		return err
	}
	defer r.Body.Close() //nolint:errcheck // it is left
	if r.StatusCode != http.StatusOK {
		return errors.New(r.Status)
	}
	events := make(chan testfleet.Change)
	ended := make(chan error, 1)
	go func() { ended <- w.receive(ctx, bufio.NewReader(r.Body), events) }()
	return w.listen(events, ended)
}

// receive passes on what is read until that fails.
func (w *watcher) receive(ctx context.Context, body *bufio.Reader, events chan<- testfleet.Change) error {
	for {
		e, err := w.format.read(body)
		if err != nil {
			return err
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// listen takes in events, and records what the list is in between.
func (w *watcher) listen(events <-chan testfleet.Change, ended <-chan error) error {
	w.current = false
	resumed := time.After(w.fresh) // by then it was told what had happened
	sample := time.NewTicker(sampleEvery)
	defer sample.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case e := <-events:
			w.hear(e)
		case <-resumed:
			w.current = true
		case <-sample.C:
			if w.current {
				w.record("", nil)
			}
		}
	}
}

// hear takes in an event, and records what the list is at the end of a moment.
// Who is cut off in between is told the rest.
func (w *watcher) hear(e testfleet.Change) {
	wrong := w.take(e)
	switch {
	case !withinMoment.MatchString(e.ID):
		w.record(e.ID, wrong)
	case wrong != nil:
		w.record("", wrong)
	}
	w.id = e.ID
}

// withinMoment is how the id of an event says that another of the same moment
// follows.
var withinMoment = regexp.MustCompile(`^[0-9a-f]{16}-[0-9]+-[0-9]+$`)

// take does what an event says. An error is that it makes no sense.
func (w *watcher) take(e testfleet.Change) error {
	if e.Kind == "heartbeat" || e.Kind == "" {
		return nil
	}
	entries, err := testfleet.ParseEntries(e.Data)
	if err != nil {
		return err
	}
	if e.Kind == "reset" {
		for key, n := range maps.Clone(w.list) {
			w.remove(key, n)
		}
	}
	for _, entry := range entries {
		key, n, err := w.origins.name(entry)
		_, has := w.list[key]
		switch {
		case err != nil:
			return err
		case has != (e.Kind == "remove"):
			return fmt.Errorf("%s of %+v, which is listed: %v", e.Kind, entry, has)
		case has:
			w.remove(key, n)
		default:
			w.add(key, n)
		}
	}
	return nil
}

func (w *watcher) add(key string, n history.Name) {
	w.list[key] = n
	w.digest += digest(key)
	if _, ok := w.went[key]; ok {
		delete(w.went, key)
	} else {
		w.came[key] = n
	}
}

func (w *watcher) remove(key string, n history.Name) {
	delete(w.list, key)
	w.digest -= digest(key)
	if _, ok := w.came[key]; ok {
		delete(w.came, key)
	} else {
		w.went[key] = n
	}
}

// record records what the list is now: with an id, at the end of a moment.
func (w *watcher) record(id string, wrong error) {
	l := &history.List{Consumer: w.name, Start: w.recorder.now(), Pushed: true}
	if id != "" {
		w.current = true
		var err error
		l.Epoch, l.Revision, err = version(id)
		l.Digest = w.digest
		wrong = errors.Join(wrong, err)
	}
	if wrong != nil {
		l.Wrong = wrong.Error()
	}
	l.Came, l.Went = slices.Collect(maps.Values(w.came)), slices.Collect(maps.Values(w.went))
	clear(w.came)
	clear(w.went)
	w.recorder.add(history.Event{List: l})
}
