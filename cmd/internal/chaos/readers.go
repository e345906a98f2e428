//go:build linux

package main

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

// consumer requests the list again and again, always in the same way.
type consumer struct {
	name        string
	prefix      string
	gzip        bool
	conditional bool // it sends If-None-Match
	pause       time.Duration

	recorder *recorder
	address  func() string // of a master
	origins  origins
	client   http.Client

	shown  map[string]history.Name // the last list, by scout and path
	etag   string                  // of that
	digest uint64                  // of its text
}

// answer is the answer to one request.
type answer struct {
	body      []byte
	etag      string
	unchanged bool
}

// follow sends requests until ctx is done. It leaves most of the time to the
// programs.
func (c *consumer) follow(ctx context.Context) {
	c.shown = map[string]history.Name{}
	for ctx.Err() == nil {
		began := time.Now()
		c.look(ctx)
		select {
		case <-ctx.Done():
		case <-time.After(max(c.pause, 2*time.Since(began))):
		}
	}
}

// look sends one request and records the answer.
func (c *consumer) look(ctx context.Context) {
	l := &history.List{Consumer: c.name, Prefix: c.prefix, Start: c.recorder.now()}
	if c.conditional && c.etag != "" {
		l.HadEpoch, l.HadRevision, _ = version(c.etag)
	}
	a, err := c.get(ctx)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		l.Error = err.Error()
	default:
		c.read(l, a)
	}
	c.recorder.add(history.Event{List: l})
}

func (c *consumer) get(ctx context.Context) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.address()+"/files", http.NoBody)
	if err != nil {
		return answer{}, err
	}
	if c.prefix != "" {
		req.URL.RawQuery = url.Values{"prefix": {c.prefix}}.Encode()
	}
	req.Header.Set("Accept-Encoding", "identity")
	if c.gzip {
		req.Header.Set("Accept-Encoding", "gzip")
	}
	if c.conditional && c.etag != "" {
		req.Header.Set("If-None-Match", c.etag)
	}
	r, err := c.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	return c.receive(r)
}

func (c *consumer) receive(r *http.Response) (answer, error) {
	a := answer{etag: r.Header.Get("ETag")}
	if r.StatusCode == http.StatusNotModified && c.conditional && c.etag != "" {
		a.unchanged = true
		return a, nil
	}
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(r.Body)
		if err != nil {
			return a, err
		}
		body = unzipped
	}
	var err error
	a.body, err = io.ReadAll(body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.200s", r.Status, a.body)
	}
	return a, err
}

// read returns an answer as an event.
func (c *consumer) read(l *history.List, a answer) {
	var err error
	if l.Epoch, l.Revision, err = version(a.etag); err != nil {
		l.Wrong = err.Error()
		return
	}
	l.Digest = c.digest
	if a.unchanged {
		return
	}
	entries, err := testfleet.ParseList(a.body)
	if err != nil {
		l.Wrong = err.Error()
		return
	}
	now := map[string]history.Name{}
	c.digest = 0
	for _, e := range entries {
		key, name, err := c.origins.name(e)
		if err == nil && !strings.HasPrefix(e.Name(), c.prefix) {
			err = fmt.Errorf("nobody asked for %+v", e)
		}
		if err != nil {
			l.Wrong = err.Error()
			return
		}
		now[key] = name
		c.digest += digest(key)
	}
	l.Came, l.Went = minus(now, c.shown), minus(c.shown, now)
	c.shown, c.etag = now, a.etag
	l.Digest = c.digest
}

// origins are the scouts by their origins in the list.
type origins map[origin]int

// origin is the origin of an entry.
type origin struct{ host, dir string }

// name returns the name of an entry in a history, and a key for the name.
func (o origins) name(e testfleet.Entry) (key string, n history.Name, err error) {
	scout, ok := o[origin{e.Host, e.Dir()}]
	if !ok {
		return "", n, fmt.Errorf("there is no scout for %+v", e)
	}
	return strconv.Itoa(scout) + "/" + e.Name(), history.Name{Scout: scout, Path: []byte(e.Name())}, nil
}

// minus returns the names in a that are not in b.
func minus(a, b map[string]history.Name) (rest []history.Name) {
	for key, n := range a {
		if _, ok := b[key]; !ok {
			rest = append(rest, n)
		}
	}
	return rest
}

// tagPattern matches the epoch and the revision in an ETag or in the id of an event.
var tagPattern = regexp.MustCompile(`^(?:W/"|)([0-9a-f]{16})-([0-9]+)(?:-json"|)$`)

// version parses an ETag or an id.
func version(tag string) (epoch string, revision uint64, err error) {
	parts := tagPattern.FindStringSubmatch(tag)
	if parts == nil {
		return "", 0, fmt.Errorf("the ETag or id is %q", tag)
	}
	revision, err = strconv.ParseUint(parts[2], 10, 64)
	return parts[1], revision, err
}

// digest is the digest of one entry. The digest of a list is the sum.
func digest(key string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(key))
	return h.Sum64()
}

const (
	// sampleEvery is how often the list of a watcher is recorded when no events
	// arrive.
	sampleEvery = 100 * time.Millisecond
	// longestWatch is the longest time until a watcher disconnects and resumes.
	longestWatch = 8 * time.Second
)

// format is a format of events.
type format struct {
	query string
	read  func(*bufio.Reader) (testfleet.Change, error)
}

var (
	eventStream = format{"format=events", testfleet.ReadEvent}
	eventLines  = format{"format=ndjson&watch=true", testfleet.ReadLine}
)

// watcher maintains a list from events. It disconnects now and then, and resumes
// at the last event.
type watcher struct {
	*rand.Rand
	name   string
	format format

	recorder *recorder
	address  func() string // of a master
	origins  origins
	fresh    time.Duration

	list       map[string]history.Name // from events
	digest     uint64                  // of that
	id         string                  // of the last event
	came, went map[string]history.Name // since the list was recorded
	current    bool                    // no event is known to be missing
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

// watch watches until the stream ends, and returns why.
func (w *watcher) watch(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.address()+"/files?"+w.format.query, http.NoBody)
	if err != nil {
		return err
	}
	if w.id != "" {
		req.Header.Set("Last-Event-ID", w.id)
	}
	r, err := http.DefaultClient.Do(req) //nolint:bodyclose // it is closed below
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

// receive passes on events until reading fails.
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

// listen applies events, and records the list now and then.
func (w *watcher) listen(events <-chan testfleet.Change, ended <-chan error) error {
	w.current = false
	resumed := time.After(w.fresh) // by then all missed events have arrived
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

// hear applies an event, and records the list after the last event of a history
// entry. A watcher that is cut off before that receives the rest when it resumes.
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

// withinMoment matches the id of an event if another event of the same history entry
// follows.
var withinMoment = regexp.MustCompile(`^[0-9a-f]{16}-[0-9]+-[0-9]+$`)

// take applies an event to the list. It returns an error if the event does not fit.
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
