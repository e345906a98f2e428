package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"scout/client"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/web"
)

// master serves a list as a scoutmaster does.
type master struct {
	list    *listing.Listing
	app     *listing.Source
	handler atomic.Value // of http.Handler
	server  *httptest.Server
	url     string

	unconfirmed []roster.Unconfirmed
}

func newMaster() *master {
	m := new(master)
	m.start()
	m.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.handler.Load().(http.Handler).ServeHTTP(w, r)
	}))
	m.url = m.server.URL
	return m
}

// start starts the scoutmaster again, with an empty list.
func (m *master) start() {
	m.list = listing.New()
	m.app = m.list.Show(files.Origin{Host: "web-01", Directory: "/srv/data"}, filestest.Set("app.log", "logs/2026/app.log", "bad\xff"), nil)
	m.list.Show(files.Origin{Host: "web-02", Directory: "/"}, filestest.Set("etc/hosts"), nil)
	m.handler.Store(http.Handler(web.NewHandler(m.list, m, func() error { return nil }, web.Options{Watchers: 10}, zap.NewNop())))
}

func (m *master) close() {
	m.server.CloseClientConnections()
	m.server.Close()
}

func (m *master) Barrier(context.Context, func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	return m.list.Current(), m.unconfirmed
}

func (*master) Roster() roster.Roster         { return roster.Roster{} }
func (*master) Ready() error                  { return nil }
func (*master) ReadyChanged() <-chan struct{} { return nil }

func open(t *testing.T) (*master, *client.Client) {
	t.Helper()
	m := newMaster()
	t.Cleanup(m.close)
	c, err := client.New(m.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m, c
}

func (m *master) change(t *testing.T, d files.Delta) {
	t.Helper()
	if _, err := m.list.Change(m.app, d); err != nil {
		t.Fatal(err)
	}
}

func added(names ...string) files.Delta {
	return files.Delta{Removed: filestest.Set(), Added: filestest.Set(names...)}
}

func TestListHasExactBytes(t *testing.T) {
	_, c := open(t)
	var paths []string
	for f, err := range c.List(t.Context(), client.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, f.Host+f.Path())
	}
	want := []string{"web-01/srv/data/app.log", "web-01/srv/data/bad\xff", "web-02/etc/hosts", "web-01/srv/data/logs/2026/app.log"}
	if !slices.Equal(paths, want) {
		t.Errorf("%q, want %q", paths, want)
	}
}

// A list has the same files, whatever the names, in each way to read it.
func TestListOpenCount(t *testing.T) {
	m, c := open(t)
	m.list.Show(files.Origin{Host: `h"é`, Directory: "/d\xfe"}, filestest.Set(`back\slash`, `"quoted"`, "new\nline", "snow☃", "Upper"), nil)
	for _, tc := range []struct {
		client.Query
		files int
	}{
		{client.Query{}, 9},
		{client.Query{Hosts: []string{"web-01"}}, 3},
		{client.Query{Matches: []string{"**/*\u2603*"}}, 1},
		{client.Query{Matches: []string{"**/UP*"}}, 0},
		{client.Query{Matches: []string{"**/UP*"}, IgnoreCase: true}, 1},
	} {
		q, want := tc.Query, ""
		n := 0
		for f, err := range c.List(t.Context(), q) {
			if err != nil {
				t.Fatal(err)
			}
			want += f.Path() + "\x00"
			n++
		}
		body, err := c.Open(t.Context(), q, client.NUL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err != nil || body.Close() != nil || string(got) != want {
			t.Errorf("%v: %q, %v, want %q", q, got, err, want)
		}
		if count, err := c.Count(t.Context(), q); err != nil || count != tc.files || n != tc.files {
			t.Errorf("%v: %d files are listed and %d counted, %v, want %d", q, n, count, err, tc.files)
		}
	}
}

func TestProblems(t *testing.T) {
	_, c := open(t)
	for f, err := range c.List(t.Context(), client.Query{Matches: []string{"["}}) {
		p, ok := errors.AsType[*client.ProblemError](err)
		if !ok || p.Status != http.StatusBadRequest || p.Type != "/problems/bad-query" || f != (client.File{}) {
			t.Errorf("%v, %v", f, err)
		}
	}
	for _, err := range c.Watch(t.Context(), client.Query{Matches: []string{"["}}, client.WatchOptions{}) {
		if _, ok := errors.AsType[*client.ProblemError](err); !ok {
			t.Errorf("%v", err)
		}
	}
	for _, base := range []string{"", "localhost:3001", "ftp://x", "http://", ":"} {
		if _, err := client.New(base, client.Options{}); err == nil {
			t.Errorf("%q: no error", base)
		}
	}
}

// A list that was cut off is an error.
func TestListCutOff(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		io.WriteString(w, `{"filename":"a","host":"h","directory":"/d"}`+"\n"+`{"filename":"b"`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	n := 0
	for _, err := range c.List(t.Context(), client.Query{}) {
		n++
		last = err
	}
	if n != 2 || last == nil {
		t.Errorf("%d results, the last with %v", n, last)
	}
}

func TestToken(t *testing.T) {
	var presented string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		presented = r.Header.Get("Authorization")
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.List(t.Context(), client.Query{}) {
		if p, ok := errors.AsType[*client.ProblemError](err); !ok || p.Status != http.StatusUnauthorized {
			t.Errorf("%v", err)
		}
	}
	if presented != "Bearer secret" {
		t.Errorf("%q was presented", presented)
	}
}

func TestFreshNamesWhatIsLacking(t *testing.T) {
	m, c := open(t)
	m.unconfirmed = []roster.Unconfirmed{
		{Scoutmaster: "b", Reason: "it did not answer"}, {Origin: files.Origin{Host: "db-01", Directory: "/x\xfe"}, Reason: "no answer in time"},
	}
	list, lacking, err := c.Fresh(t.Context(), client.Query{Hosts: []string{"web-02"}}, time.Second)
	if err != nil || len(list) != 1 || list[0].Path() != "/etc/hosts" {
		t.Errorf("%v, %v", list, err)
	}
	want := []client.Unconfirmed{{Scoutmaster: "b", Reason: "it did not answer"}, {Host: "db-01", Directory: "/x\xfe", Reason: "no answer in time"}}
	if !slices.Equal(lacking, want) || fmt.Sprint(lacking) != "[scoutmaster b: it did not answer db-01: /x\xfe: no answer in time]" {
		t.Errorf("%v, want %v", lacking, want)
	}
}

// An error of the caller ends a fresh list, and an answer that is cut off is no whole
// list.
func TestEachFreshEnds(t *testing.T) {
	_, c := open(t)
	stop := errors.New("enough")
	n := 0
	_, err := c.EachFresh(t.Context(), client.Query{}, time.Second, func(client.File) error { n++; return stop })
	if n != 1 || !errors.Is(err, stop) {
		t.Errorf("%d files, %v", n, err)
	}
	for _, body := range []string{"", `{"files":[`, `{"files":[{"filename":"a","host":"h","directory":"/d"}`, `{"files":[{"filename":"a","host":"h","directory":"/d"}]`, `{"files":{}}`, `[]`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, body)
		}))
		c, err := client.New(server.URL, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if files, _, err := c.Fresh(t.Context(), client.Query{}, time.Second); err == nil {
			t.Errorf("%s: %v without an error", body, files)
		}
		server.Close()
	}
}

// follower keeps the list up to date from changes.
type follower struct {
	known  map[client.File]bool
	resets int
}

func (f *follower) take(c client.Change) {
	if c.Reset {
		f.known = map[client.File]bool{}
		f.resets++
	}
	for _, file := range c.Removed {
		delete(f.known, file)
	}
	for _, file := range c.Added {
		f.known[file] = true
	}
}

// A watch yields every change in order, also after broken connections, and a reset
// after a restart of the scoutmaster.
func TestWatchGoesOn(t *testing.T) {
	m, c := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var f follower
	steps := []func(){
		func() { m.change(t, added("new-1")) },
		func() {
			m.server.CloseClientConnections()
			m.change(t, files.Delta{Removed: filestest.Set("new-1"), Added: filestest.Set("new-2", "new-3")})
		},
		func() {
			m.start()
			m.server.CloseClientConnections()
		},
		func() { m.change(t, added("new-4")) },
	}
	want := [][]string{{}, {"new-1"}, {"new-2", "new-3"}, {}, {"new-4"}}
	step := 0
	for change, err := range c.Watch(ctx, client.Query{Prefixes: []string{"new"}}, client.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		f.take(change)
		if change.ID == "" || !slices.Equal(f.names(), want[step]) {
			continue
		}
		if step == len(steps) {
			break
		}
		steps[step]()
		step++
	}
	if step != len(steps) || f.resets != 2 {
		t.Errorf("step %d, %d resets, known are %q", step, f.resets, f.names())
	}
}

func (f *follower) names() []string {
	names := []string{}
	for file := range f.known {
		names = append(names, file.Name)
	}
	slices.Sort(names)
	return names
}

// A long list is yielded in parts. Only the last part has an id.
func TestWatchInParts(t *testing.T) {
	m, c := open(t)
	var names []string
	for i := range 2500 {
		names = append(names, fmt.Sprintf("many/%04d", i))
	}
	m.change(t, added(names...))
	var f follower
	parts := 0
	for change, err := range c.Watch(t.Context(), client.Query{Prefixes: []string{"many/"}}, client.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		parts++
		f.take(change)
		if change.ID != "" {
			break
		}
	}
	if parts != 3 || f.resets != 1 || !slices.Equal(f.names(), names) {
		t.Errorf("%d parts, %d resets, %d names", parts, f.resets, len(f.known))
	}
}

// After a break within an event the client resumes from the last Change that it
// yielded. It yields no part of a change, and a part of a reset does not count.
func TestWatchCutOffWithinAnEvent(t *testing.T) {
	file := func(name string) string { return fmt.Sprintf(`{"filename":%q,"host":"h","directory":"/d"}`, name) }
	many := strings.Repeat(file("many")+",", 1500)
	script := []struct{ from, events string }{
		{"", `{"event":"reset","id":"1","files":[` + file("a") + `]}{"event":"remove","id":"1-2","files":[` + many},
		{"1", `{"event":"add","id":"3","files":[` + file("b") + `]}{"event":"add","id":"4","files":[` + many},
		{"3", `{"event":"reset","id":"5","files":[` + many},
		{"", `{"event":"reset","id":"6","files":[` + file("c") + `]}`},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := r.Header.Get("Last-Event-ID"); len(script) == 0 || from != script[0].from {
			t.Errorf("it comes back with %q to %v", from, script)
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		io.WriteString(w, script[0].events)
		script = script[1:]
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var f follower
	var got []string
	for change, err := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		f.take(change)
		if got = append(got, strings.Join(f.names(), " ")); change.ID == "6" {
			break
		}
	}
	if want := []string{"a", "a b", "many", "c"}; !slices.Equal(got, want) || f.resets != 3 {
		t.Errorf("known were %q, after %d resets", got, f.resets)
	}
}

// An invalid answer is an error, not an endless wait.
func TestNoScoutmaster(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
		if err == nil || !strings.Contains(err.Error(), "404") {
			t.Errorf("%v", err)
		}
	}
}

// answerer is a scoutmaster whose answers a test provides.
type answerer func(r *http.Request) io.Reader

func (a answerer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Body: io.NopCloser(a(r)), Request: r}, nil
}

// mute is a body without data that ends with its request.
type mute struct{ ctx context.Context }

func (m mute) Read([]byte) (int, error) {
	<-m.ctx.Done()
	return 0, m.ctx.Err()
}

// A stream without a heartbeat counts as broken, even if its connection is open.
// The time that the caller takes for a Change does not count as silence.
func TestWatchNoticesSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const reset = `{"event":"reset","id":"1-1","files":[]}` + "\n"
		c, err := client.New("http://scoutmaster", client.Options{HTTP: &http.Client{
			Transport: answerer(func(r *http.Request) io.Reader {
				return io.MultiReader(strings.NewReader(reset), mute{r.Context()})
			}),
		}})
		if err != nil {
			t.Fatal(err)
		}
		var told []time.Time
		for range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
			if told = append(told, time.Now()); len(told) == 2 {
				break
			}
			time.Sleep(time.Hour)
		}
		if waited := told[1].Sub(told[0]) - time.Hour; waited < 30*time.Second || waited > time.Minute {
			t.Errorf("the stream was given up after %s of silence", waited)
		}
	})
}

// scripted answers each request with the next of some streams, and the others
// with 503.
type scripted struct {
	streams map[int]string // by the number of the request
	times   []time.Time
	resumed []string // the Last-Event-ID of each request
}

func (s *scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	text, ok := s.streams[len(s.times)]
	s.times, s.resumed = append(s.times, time.Now()), append(s.resumed, r.Header.Get("Last-Event-ID"))
	answer := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Content-Type": {"application/x-ndjson"}}, Request: r}
	if ok {
		answer.StatusCode = http.StatusOK
	}
	answer.Body = io.NopCloser(strings.NewReader(text))
	return answer, nil
}

// A client that watches comes back less and less often while nobody serves it,
// soon again when it was served, and resumes behind the last sign of life.
func TestWatchBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const served = 8 // the number of the request
		s := &scripted{streams: map[int]string{
			served: `{"event":"reset","id":"a-1","files":[]}` + "\n" + `{"event":"heartbeat","id":"a-5"}` + "\n",
		}}
		c, err := client.New("http://master:3001", client.Options{HTTP: &http.Client{Transport: s}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		for _, err := range c.Watch(ctx, client.Query{}, client.WatchOptions{Patient: true}) {
			if err != nil {
				t.Error(err)
			}
		}
		if n := len(s.times); n < served+5 || n > 40 {
			t.Fatalf("%d requests in two minutes", n)
		}
		if pause := s.times[served].Sub(s.times[served-1]); pause < 3*time.Second {
			t.Errorf("after %d failures it came back after %s", served, pause)
		}
		if pause := s.times[served+1].Sub(s.times[served]); pause > 100*time.Millisecond {
			t.Errorf("after it was served it came back after %s", pause)
		}
		if got := s.resumed[served+1]; got != "a-5" {
			t.Errorf("it resumes behind %q", got)
		}
	})
}
