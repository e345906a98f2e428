package web

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
)

// pipes is a network within a test, whose connections hold nothing: what is
// written waits until it is read.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.conns <- theirs
	return ours, nil
}

// watchLab is a list that is served within a test.
type watchLab struct {
	*testing.T
	list    *listing.Listing
	handler *Handler
	client  *http.Client
}

func newWatchLab(t *testing.T) *watchLab {
	t.Helper()
	lab := &watchLab{T: t, list: listing.New()}
	lab.handler = NewHandler(lab.list, nobody{lab.list}, func() error { return nil }, Options{Watchers: 3}, zap.NewNop())
	network := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: lab.handler}
	server.RegisterOnShutdown(lab.handler.EndWatching)
	go server.Serve(network)
	transport := &http.Transport{DialContext: network.dial, DisableCompression: true}
	lab.client = &http.Client{Transport: transport}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		server.Close()
	})
	return lab
}

func (lab *watchLab) change(s *listing.Source, removed []string, added ...string) {
	lab.Helper()
	if _, err := lab.list.Change(s, files.Delta{Removed: filestest.Set(removed...), Added: filestest.Set(added...)}); err != nil {
		lab.Fatal(err)
	}
}

// ask sends a request with headers, given as name and value in turn.
func (lab *watchLab) ask(ctx context.Context, query string, headers ...string) *http.Response {
	lab.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://lab/files?"+query, http.NoBody)
	if err != nil {
		lab.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	answer, err := lab.client.Do(r)
	if err != nil {
		lab.Fatal(err)
	}
	return answer
}

// told is an event as a client has it.
type told struct {
	Event, ID string
	Files     []struct {
		Filename       string `json:"filename"`
		FilenameBase64 string `json:"filename_base64"`
		Host           string `json:"host"`
		Directory      string `json:"directory"`
	}
}

func (e told) names() (names []string) {
	for _, f := range e.Files {
		name := f.Filename
		if f.FilenameBase64 != "" {
			raw, err := base64.StdEncoding.DecodeString(f.FilenameBase64)
			if err != nil {
				panic(err)
			}
			name = string(raw)
		}
		names = append(names, name+"@"+f.Host)
	}
	return names
}

func (e told) String() string { return strings.TrimSpace(e.Event + " " + strings.Join(e.names(), " ")) }

// stream is a client that reads events, and has the list that they tell of.
type stream struct {
	leave context.CancelFunc
	ended chan struct{}

	mu sync.Mutex
	place
	places []place // after each event
	events []told
	err    error
}

// place is where a client is: what it has, and the id to come back with.
type place struct {
	last string
	list map[string]bool
}

// open reads events of a query from the beginning.
func (lab *watchLab) open(query string) *stream {
	lab.Helper()
	return lab.resume(query, place{})
}

// resume reads events of a query from a place on.
func (lab *watchLab) resume(query string, from place) *stream {
	lab.Helper()
	ctx, leave := context.WithCancel(lab.Context())
	s := &stream{leave: leave, ended: make(chan struct{}), place: place{from.last, map[string]bool{}}}
	maps.Copy(s.list, from.list)
	var headers []string
	if from.last != "" {
		headers = []string{"Last-Event-ID", from.last}
	}
	answer := lab.ask(ctx, query, headers...)
	if answer.StatusCode != http.StatusOK {
		lab.Fatal(answer.Status)
	}
	read := readLines
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		read = readEventStream
	}
	go func() {
		defer close(s.ended)
		defer answer.Body.Close()
		s.err = read(bufio.NewReader(answer.Body), s.take)
	}()
	return s
}

func (s *stream) take(e told) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.ID != "" {
		s.last = e.ID
	}
	s.events = append(s.events, e)
	if e.Event == "reset" {
		clear(s.list)
	}
	for _, name := range e.names() {
		if e.Event == "remove" {
			delete(s.list, name)
		} else {
			s.list[name] = true
		}
	}
	s.places = append(s.places, place{s.last, maps.Clone(s.list)})
}

// cut ends the stream as if the last events, at most so many, had not come, and
// returns where the client is then.
func (s *stream) cut(lost int) place {
	s.leave()
	<-s.ended
	if n := len(s.places); n > 0 {
		return s.places[max(0, n-1-lost)]
	}
	return s.place
}

// log returns the events so far, and forgets them.
func (s *stream) log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []string
	for _, e := range s.events {
		lines = append(lines, e.String())
	}
	s.events = nil
	return strings.Join(lines, "; ")
}

// readEventStream reads as the HTML standard has it.
func readEventStream(in *bufio.Reader, take func(told)) error {
	var e told
	var data []string
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if e.Event == "" && data != nil || e.Event != "" && data == nil {
				return fmt.Errorf("half an event: %v", e)
			}
			if data != nil {
				if err := json.Unmarshal([]byte(strings.Join(data, "\n")), &e); err != nil {
					return err
				}
			} else {
				e.Event = "heartbeat"
			}
			take(e)
			e, data = told{}, nil
		case field == "event":
			e.Event = value
		case field == "id":
			e.ID = value
		case field == "data":
			data = append(data, value)
		case field != "":
			return fmt.Errorf("the line %q", line)
		}
	}
}

func readLines(in *bufio.Reader, take func(told)) error {
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return err
		}
		var e told
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		take(e)
	}
}

// listed is what a query selects now, by the list's own account.
func (lab *watchLab) listed(query string) map[string]bool {
	lab.Helper()
	answer := lab.ask(lab.Context(), query+"&format=json")
	var e told
	if err := json.Unmarshal(body(lab.T, answer), &e); err != nil {
		lab.Fatal(err)
	}
	list := map[string]bool{}
	for _, name := range e.names() {
		list[name] = true
	}
	return list
}

// Whatever happens to the list, and wherever a reader is cut off and resumes,
// its events make the list that its query selects.
func TestWatchAgainstTheList(t *testing.T) {
	queries := []string{"prefix=", "host=host-499&host=host-497", "prefix=d1/&prefix=d3", "match=**/f1*"}
	formats := []string{"&format=events", "&format=ndjson&watch=true"}
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			r, lab := rand.New(rand.NewPCG(seed, 3)), newWatchLab(t)
			query := queries[seed%4]
			watched := query + formats[seed%2]
			s := lab.open(watched)
			names, sources := map[int]map[string]bool{}, map[int]*listing.Source{}
			resets := 0
			for step := range 150 {
				for range 1 + r.IntN(3) {
					lab.randomStep(r, names, sources)
				}
				if r.IntN(3) == 0 {
					synctest.Wait()
				}
				if r.IntN(8) == 0 { // cut, at any moment, and back
					at := s.cut(r.IntN(3))
					lab.randomStep(r, names, sources)
					resets += strings.Count(s.log(), "reset")
					s = lab.resume(watched, at)
				}
				if r.IntN(4) != 0 {
					continue
				}
				synctest.Wait()
				s.mu.Lock()
				if want := lab.listed(query); !maps.Equal(s.list, want) {
					t.Fatalf("seed %d, step %d: the reader has %d entries, listed are %d", seed, step, len(s.list), len(want))
				}
				s.mu.Unlock()
			}
			if resets += strings.Count(s.log(), "reset"); resets != 1 {
				t.Errorf("seed %d: %d resets", seed, resets)
			}
			s.leave()
			<-s.ended
		})
	}
}

func (lab *watchLab) randomStep(r *rand.Rand, names map[int]map[string]bool, sources map[int]*listing.Source) {
	lab.Helper()
	n := 1 + r.IntN(4)
	next := map[string]bool{}
	for range r.IntN(20) {
		next[fmt.Sprintf("d%d/f%d", r.IntN(5), r.IntN(30))] = true
	}
	switch s := sources[n]; {
	case s == nil || r.IntN(8) == 0:
		names[n] = next
		sources[n] = lab.list.Show(listingtest.Origin(n), filestest.Set(slices.Collect(maps.Keys(next))...), s)
	case r.IntN(8) == 0:
		lab.list.Drop(s)
		delete(sources, n)
	case r.IntN(6) == 0:
		merge(lab.T, lab.list)
	default:
		var removed, added []string
		for name := range next {
			if names[n][name] {
				removed = append(removed, name)
				delete(names[n], name)
			} else {
				added = append(added, name)
				names[n][name] = true
			}
		}
		lab.change(s, removed, added...)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		a := lab.list.Show(listingtest.Origin(1), filestest.Set("a", "b"), nil)
		s := lab.open("format=events")
		synctest.Wait()
		lab.change(a, []string{"a"}, "c", "d")
		synctest.Wait()
		if got, want := s.log(), "reset a@host-499 b@host-499; remove a@host-499; add c@host-499 d@host-499"; got != want {
			t.Errorf("told: %s", got)
		}
		before := s.last
		b := lab.list.Show(listingtest.Origin(2), filestest.Set("a"), nil)
		synctest.Wait()
		lab.list.Drop(a)
		synctest.Wait()
		if got, want := s.log(), "add a@host-498; remove b@host-499 c@host-499 d@host-499"; got != want {
			t.Errorf("told: %s", got)
		}
		for what, last := range map[string]string{"of another life": "0" + before[1:], "of the future": before + "0"} {
			if last == before {
				last = "1" + before[1:]
			}
			other := lab.resume("format=events", place{last: last})
			synctest.Wait()
			if got := other.log(); got != "reset a@host-498" {
				t.Errorf("an id %s: %s", what, got)
			}
			other.leave()
			<-other.ended
		}
		resumed := lab.open("format=ndjson&watch=true&last_event_id=" + before)
		synctest.Wait()
		if got := resumed.log(); got != "remove b@host-499 c@host-499 d@host-499; add a@host-498" {
			t.Errorf("resumed: %s", got)
		}
		lab.change(b, []string{"a"}, "e")
		synctest.Wait()
		if e := resumed.events; len(e) != 2 || !strings.HasPrefix(e[0].ID, e[1].ID[:17]) || e[0].ID == e[1].ID {
			t.Errorf("a moment in two events: %+v", e)
		}
		resumed.leave()
		s.leave()
		<-resumed.ended
		<-s.ended
	})
}

// A reader that was told what had gone, and not what had come in the same moment,
// is told the rest, though that has gone and what had gone is back.
func TestCutWithinAMoment(t *testing.T) {
	for _, query := range []string{"format=events", "format=ndjson&watch=true"} {
		synctest.Test(t, func(t *testing.T) {
			lab := newWatchLab(t)
			a := lab.list.Show(listingtest.Origin(1), filestest.Set("x"), nil)
			s := lab.open(query)
			synctest.Wait()
			lab.change(a, []string{"x"}, "y")
			synctest.Wait()
			if got := s.log(); got != "reset x@host-499; remove x@host-499; add y@host-499" {
				t.Fatalf("%s: told %s", query, got)
			}
			at := s.cut(1)
			lab.change(a, []string{"y"}, "x")
			s = lab.resume(query, at)
			synctest.Wait()
			if got := s.log(); got != "add y@host-499; remove y@host-499; add x@host-499" {
				t.Errorf("%s: told %s", query, got)
			}
			s.cut(0)
		})
	}
}

// Silence is broken now and then, and tells where to resume.
func TestHeartbeat(t *testing.T) {
	for _, query := range []string{"format=events", "format=ndjson&watch=true"} {
		synctest.Test(t, func(t *testing.T) {
			lab := newWatchLab(t)
			s := lab.open("host=nobody&" + query)
			time.Sleep(heartbeatTime - time.Second)
			lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
			synctest.Wait()
			if got := s.log(); got != "reset" {
				t.Errorf("%s: told %s", query, got)
			}
			time.Sleep(2*heartbeatTime + time.Second)
			synctest.Wait()
			if got := s.log(); got != "heartbeat; heartbeat; heartbeat" || s.last != lab.list.Current().Tag() {
				t.Errorf("%s: told %s, at %s", query, got, s.last)
			}
			s.leave()
			<-s.ended
		})
	}
}

// A reader that takes nothing is dropped. Until then it holds nobody up.
func TestFrozenReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		a := lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
		answer := lab.ask(t.Context(), "format=events")
		defer answer.Body.Close()
		quick := lab.open("format=events")
		synctest.Wait()
		quick.log()
		began := time.Now()
		for i := range 100 {
			lab.change(a, nil, fmt.Sprint(i))
			synctest.Wait()
			if got, want := quick.log(), fmt.Sprintf("add %d@host-499", i); got != want {
				t.Fatalf("told %s", got)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("others waited for %s", took)
		}
		time.Sleep(eventTimeout + time.Second)
		synctest.Wait()
		if lab.handler.watchers.now != 1 {
			t.Errorf("%d watchers are left", lab.handler.watchers.now)
		}
		quick.leave()
		<-quick.ended
	})
}

// A reader that is behind is told the net effect, or to start over when that is
// not known any more.
func TestReaderBehind(t *testing.T) {
	for behind, want := range map[int]string{200: "add last@host-499", 20_000: "reset a@host-499 last@host-499"} {
		synctest.Test(t, func(t *testing.T) {
			lab := newWatchLab(t)
			a := lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
			answer := lab.ask(t.Context(), "format=ndjson&watch=true")
			in := bufio.NewReader(answer.Body)
			defer answer.Body.Close()
			next := func() (e told) {
				line, err := in.ReadBytes('\n')
				if err == nil {
					err = json.Unmarshal(line, &e)
				}
				if err != nil {
					t.Fatal(err)
				}
				return e
			}
			next()
			for range behind {
				lab.change(a, nil, "x")
				synctest.Wait() // it is being told, and not listening
				lab.change(a, []string{"x"})
			}
			lab.change(a, nil, "last")
			var all []string
			for end := lab.list.Current().Tag(); ; {
				e := next()
				all = append(all, e.String())
				if e.ID == end {
					break
				}
			}
			if got := all[len(all)-1]; got != want && got != "remove x@host-499; "+want || len(all) > 5 {
				t.Errorf("%d behind: told %v", behind, all)
			}
		})
	}
}

// The end of the scoutmaster is not held up by those who watch.
func TestWatchersEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		s := lab.open("format=events")
		poll := make(chan *http.Response)
		tag := lab.ask(t.Context(), "").Header.Get("ETag")
		go func() { poll <- lab.ask(t.Context(), "wait=1m", "If-None-Match", tag) }()
		synctest.Wait()
		began := time.Now()
		lab.handler.EndWatching()
		<-s.ended
		if r := <-poll; r.StatusCode != http.StatusNotModified || !errors.Is(s.err, io.EOF) || time.Since(began) != 0 {
			t.Errorf("%s, %v after %s", r.Status, s.err, time.Since(began))
		}
	})
}

func TestTooManyWatchers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		tag := lab.ask(t.Context(), "").Header.Get("ETag")
		var streams []*stream
		for range 3 {
			streams = append(streams, lab.open("format=events"))
		}
		for _, query := range []string{"format=events", "format=ndjson&watch=true", "wait=1s"} {
			r := lab.ask(t.Context(), query, "If-None-Match", tag)
			if after := r.Header.Get("Retry-After"); r.StatusCode != 503 || after < "1" || !strings.Contains(string(body(t, r)), "too-many-watchers") {
				t.Errorf("%s: %s, after %s", query, r.Status, after)
			}
		}
		if r := lab.ask(t.Context(), "wait=1s"); r.StatusCode != 200 {
			t.Errorf("nothing to wait for: %s", r.Status)
		}
		for _, s := range streams {
			s.leave()
			<-s.ended
		}
		synctest.Wait()
		s := lab.open("format=events")
		s.leave()
		<-s.ended
	})
}

func TestLongPoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		a := lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
		b := lab.list.Show(listingtest.Origin(2), filestest.Set("a"), nil)
		const mine = "host=host-499&prefix=a"
		tag := lab.ask(t.Context(), mine).Header.Get("ETag")
		poll := func(known string, meanwhile func()) (status int, newTag string, took time.Duration) {
			began, answer := time.Now(), make(chan *http.Response)
			go func() { answer <- lab.ask(t.Context(), mine+"&wait=30s", "If-None-Match", known) }()
			time.Sleep(10 * time.Second)
			synctest.Wait()
			meanwhile()
			r := <-answer
			return r.StatusCode, r.Header.Get("ETag"), time.Since(began)
		}
		other := func() { lab.change(b, []string{"a"}, "b"); lab.change(a, nil, "other") }
		status, newTag, took := poll(tag, other)
		if status != 304 || newTag == tag || took != 30*time.Second {
			t.Errorf("what is not asked for: %d, %s after %s", status, newTag, took)
		}
		if status, _, took = poll(tag, func() {}); status != 304 || took != 30*time.Second {
			t.Errorf("what is known to be the same: %d after %s", status, took)
		}
		status, newTag, took = poll(newTag, func() { lab.change(a, nil, "ab") })
		if status != 200 || newTag == tag || took != 10*time.Second {
			t.Errorf("what is asked for: %d, %s after %s", status, newTag, took)
		}
		for what, known := range map[string]string{"outdated": tag, "another's": `W/"0000000000000001-3-json"`, "none": `"x"`} {
			began := time.Now()
			if r := lab.ask(t.Context(), mine+"&wait=30s", "If-None-Match", known); r.StatusCode != 200 || time.Since(began) != 0 {
				t.Errorf("a tag that is %s: %s after %s", what, r.Status, time.Since(began))
			}
		}
	})
}

// Whatever the bytes of a name, an event is an event.
func TestEveryByteInEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := newWatchLab(t)
		var names []string
		for c := 1; c < 256; c++ {
			if c != '/' {
				names = append(names, "x"+string([]byte{byte(c)}), "\n\ndata: "+string([]byte{byte(c)})+"é")
			}
		}
		lab.list.Show(files.Origin{Host: "h", Directory: "/d\r\n\n"}, filestest.Set(names...), nil)
		for _, query := range []string{"format=events", "format=ndjson&watch=true"} {
			s := lab.open(query)
			synctest.Wait()
			if len(s.list) != len(names) {
				t.Errorf("%s: %d names of %d", query, len(s.list), len(names))
			}
			for _, name := range names {
				if !s.list[name+"@h"] {
					t.Errorf("%s: %q is missing", query, name)
				}
			}
			s.leave()
			<-s.ended
		}
	})
}

func TestWatchRefuses(t *testing.T) {
	h := newTestHandler(sample())
	for query, want := range map[string]string{
		"format=events&limit=3":                        "leave them out to watch",
		"format=ndjson&watch=true&limit=3":             "leave them out to watch",
		"format=events&wait=3s":                        "leave it out to watch",
		"watch=true":                                   "ask for format=ndjson",
		"watch=true&format=text":                       "ask for format=ndjson",
		"watch=yes&format=ndjson":                      "neither true nor false",
		"last_event_id=0000000000000001-1":             "for those who watch",
		"format=events&last_event_id=":                 "not the id",
		"format=events&last_event_id=1-1":              "not the id",
		"format=events&last_event_id=000000000000001-": "not the id",
		"wait=0s":        "more than 0",
		"wait=-1s":       "more than 0",
		"wait=5m1s":      "at most",
		"wait=30":        "not a duration",
		"wait=":          "not a duration",
		"wait=1s&wait=1": "give it once",
	} {
		r := ask(t, h, "GET", "/files?"+query)
		if got := string(body(t, r)); r.StatusCode != 400 || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s", query, r.StatusCode, got)
		}
	}
	if r := ask(t, h, "GET", "/files", "Accept", "text/event-stream", "Last-Event-ID", "1"); r.StatusCode != 400 {
		t.Errorf("a malformed header: %s", r.Status)
	}
	if r := ask(t, h, "HEAD", "/files", "Accept", "text/event-stream"); r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s %v", r.Status, r.Header)
	}
}
