package web

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/render"
	"scout/internal/roster"
)

// fleet is scouts as the test has it.
type fleet struct {
	list        *listing.Listing
	takes       time.Duration                                  // how long a look takes
	finds       func()                                         // happens before it is done; may be nil
	unconfirmed func(limit time.Duration) []roster.Unconfirmed // may be nil
	roster      roster.Roster

	mu     sync.Mutex
	wanted func(files.Origin) bool // of the last look
}

func (f *fleet) Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	f.mu.Lock()
	f.wanted = wanted
	f.mu.Unlock()
	until, _ := ctx.Deadline()
	limit := time.Until(until)
	select {
	case <-time.After(f.takes):
	case <-ctx.Done():
	}
	if f.finds != nil {
		f.finds()
	}
	if f.unconfirmed == nil {
		return f.list.Current(), nil
	}
	return f.list.Current(), f.unconfirmed(limit)
}

func (f *fleet) Roster() roster.Roster       { return f.roster }
func (*fleet) Ready() error                  { return nil }
func (*fleet) ReadyChanged() <-chan struct{} { return nil }

func (f *fleet) handler() *Handler {
	return NewHandler(f.list, f, func() error { return nil }, Options{Watchers: 2}, zap.NewNop())
}

var someUnconfirmed = []roster.Unconfirmed{
	{Origin: files.Origin{Host: "web-01", Directory: "/srv/\xff"}, Reason: "scanning, 7 files so far"},
	{Origin: files.Origin{Host: "web-02", Directory: "/srv/data"}, Reason: "\"no answer\"\n"},
}

func named(all []roster.Unconfirmed) func(time.Duration) []roster.Unconfirmed {
	return func(time.Duration) []roster.Unconfirmed { return all }
}

func TestFreshGolden(t *testing.T) {
	f := &fleet{list: sample(), unconfirmed: named(someUnconfirmed)}
	h := f.handler()
	golden(t, "fresh.json", body(t, get(t, h, "GET", "/files?fresh=2s&host=web-01")))
	golden(t, "fresh-page.json", body(t, withoutCursor(t, get(t, h, "GET", "/files?fresh=2s&host=web-01&limit=1"))))
	f.unconfirmed = named(append([]roster.Unconfirmed{{Scoutmaster: "b", Reason: "it did not answer"}}, someUnconfirmed...))
	golden(t, "fresh-fleet.json", body(t, get(t, h, "GET", "/files?fresh=2s&host=web-01")))
	f.unconfirmed = named(someUnconfirmed)
	golden(t, "fresh-none.json", body(t, get(t, h, "GET", "/files?fresh=2s&host=nobody")))
	f.unconfirmed = nil
	golden(t, "fresh-confirmed.json", body(t, get(t, h, "GET", "/files?fresh=2s&host=web-01")))
	golden(t, "fresh-empty.json", body(t, get(t, h, "GET", "/files?fresh=2s&host=nobody")))
}

// The answer has what the look has found, in any format, and says how many
// scouts may lack something.
func TestFresh(t *testing.T) {
	for _, f := range []render.Format{render.JSON, render.NDJSON, render.Text, render.NUL} {
		for _, method := range []string{"GET", "HEAD"} {
			list := sample()
			found := files.Origin{Host: "new", Directory: "/d"}
			fl := &fleet{list: list, unconfirmed: named(someUnconfirmed), finds: func() { list.Show(found, filestest.Set("found"), nil) }}
			r := get(t, fl.handler(), method, "/files?fresh=500ms&prefix=found&format="+f.String())
			if got := r.Header.Get("Scout-Unconfirmed"); r.StatusCode != 200 || got != "2" || r.Header.Get("ETag") == "" {
				t.Errorf("%s %s: %d %v", method, f, r.StatusCode, r.Header)
			}
			if text := body(t, r); bytes.Contains(text, []byte("found")) != (method == "GET") {
				t.Errorf("%s %s: %s", method, f, text)
			}
		}
	}
	plain := get(t, newTestHandler(sample()), "GET", "/files")
	if _, ok := plain.Header["Scout-Unconfirmed"]; ok || bytes.Contains(body(t, plain), []byte("unconfirmed")) {
		t.Errorf("an answer that nobody wanted fresh speaks of it: %v", plain.Header)
	}
}

// Only the scouts that a query selects are asked, in the time that it gives.
func TestFreshAsksThoseSelected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var limit time.Duration
		f := &fleet{list: sample(), unconfirmed: func(l time.Duration) []roster.Unconfirmed {
			limit = l
			return nil
		}}
		body(t, get(t, f.handler(), "GET", "/files?fresh=1500ms&host=web-01&directory=/srv/data&prefix=x"))
		if limit != 1500*time.Millisecond {
			t.Errorf("the look may take %v", limit)
		}
		for o, want := range map[files.Origin]bool{
			{Host: "web-01", Directory: "/srv/data"}: true,
			{Host: "web-01", Directory: "/srv/more"}: false,
			{Host: "web-02", Directory: "/srv/data"}: false,
		} {
			if f.wanted(o) != want {
				t.Errorf("%v is asked: %v", o, !want)
			}
		}
	})
}

// A tag is that of the list and of who is named.
func TestFreshTag(t *testing.T) {
	f := &fleet{list: sample(), unconfirmed: named(someUnconfirmed)}
	h := f.handler()
	first := get(t, h, "GET", "/files?fresh=1s").Header.Get("ETag")
	if r := ask(t, h, "GET", "/files?fresh=1s", "If-None-Match", first); r.StatusCode != 304 || r.Header.Get("Scout-Unconfirmed") != "2" {
		t.Errorf("the same again: %d %v", r.StatusCode, r.Header)
	}
	f.unconfirmed = named(someUnconfirmed[:1])
	if r := ask(t, h, "GET", "/files?fresh=1s", "If-None-Match", first); r.StatusCode != 200 {
		t.Errorf("another named: %d", r.StatusCode)
	}
	f.unconfirmed = nil
	confirmed := ask(t, h, "GET", "/files?fresh=1s", "If-None-Match", first)
	if confirmed.StatusCode != 200 {
		t.Errorf("nobody named: %d", confirmed.StatusCode)
	}
	f.finds = func() { f.list.Show(files.Origin{Host: "h", Directory: "/d"}, filestest.Set("found"), nil) }
	if r := ask(t, h, "GET", "/files?fresh=1s", "If-None-Match", confirmed.Header.Get("ETag")); r.StatusCode != 200 {
		t.Errorf("something found: %d", r.StatusCode)
	}
}

// A thousand scouts may be named in any coding.
func TestFreshNamesMany(t *testing.T) {
	var many []roster.Unconfirmed
	for i := range 10_000 {
		many = append(many, roster.Unconfirmed{Origin: files.Origin{Host: fmt.Sprint("host-", i), Directory: "/srv/data"}, Reason: "no answer in time"})
	}
	f := &fleet{list: sample(), unconfirmed: named(many)}
	merge(t, f.list)
	for coding, open := range map[string]func(io.Reader) (io.Reader, error){
		"identity": func(r io.Reader) (io.Reader, error) { return r, nil },
		"gzip":     func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"zstd":     func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		r := ask(t, f.handler(), "GET", "/files?fresh=1s", "Accept-Encoding", coding)
		text, err := open(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		var answer struct {
			Files       []any
			Unconfirmed []struct{ Host, Directory, Reason string }
		}
		if err := json.NewDecoder(text).Decode(&answer); err != nil {
			t.Errorf("%s: %v", coding, err)
		}
		if n := len(answer.Unconfirmed); n != len(many) || len(answer.Files) == 0 || answer.Unconfirmed[n-1].Host != "host-9999" {
			t.Errorf("%s: %d are named, %d files", coding, n, len(answer.Files))
		}
	}
}

func TestFreshIsChecked(t *testing.T) {
	h := newTestHandler(sample())
	for query, want := range map[string]string{
		"fresh=":                 "is not a duration",
		"fresh=2":                "is not a duration",
		"fresh=soon":             "is not a duration",
		"fresh=0s":               "is not more than 0",
		"fresh=-1s":              "is not more than 0",
		"fresh=61s":              "at most 1m0s",
		"fresh=1s&fresh=2s":      "given 2 times",
		"fresh=1s&wait=1s":       "ask for one of them",
		"fresh=1s&format=events": "leave it out to watch",
		"fresh=1s&watch=true":    "watch",
	} {
		r := get(t, h, "GET", "/files?"+query)
		if text := string(body(t, r)); r.StatusCode != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", query, r.StatusCode, text)
		}
	}
}

// Requests that wait are bounded, and end with the program.
func TestFreshIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fleet{list: sample(), takes: time.Hour}
		h := f.handler()
		codes := make(chan int, 3)
		for range 3 {
			go func() {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/files?fresh=30s", nil))
				codes <- w.Code
			}()
		}
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Errorf("the third of two: %d", code)
		}
		began := time.Now()
		h.EndWatching()
		for range 2 {
			if code := <-codes; code != http.StatusOK {
				t.Errorf("at the end: %d", code)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestScoutsGolden(t *testing.T) {
	at := time.Date(2026, 11, 26, 12, 0, 0, 123_456_789, time.FixedZone("", 3600))
	origin := files.Origin{Host: "web-01", Directory: "/srv/data"}
	f := &fleet{list: sample(), roster: roster.Roster{
		Gone: 2,
		Scouts: []roster.Scout{
			{Origin: origin, State: roster.Live, Files: 3, Revision: 7, Registered: at, Heard: at.Add(time.Minute), Version: "v1", Session: "S", Address: "10.0.0.1:1"},
			{Origin: files.Origin{Host: "web-02", Directory: "/srv/\xff"}, State: roster.Scanning, Reason: "scanning", Registered: at, Heard: at},
			{Origin: files.Origin{Host: "web-03", Directory: "/srv/data"}, State: roster.Degraded, Polled: 3, Unreadable: 4, Reason: "/mnt does not answer", PollRound: 2500 * time.Millisecond, Registered: at, Heard: at},
			{Origin: files.Origin{Host: "web-04", Directory: "/srv/data"}, State: roster.Unavailable, Reason: "the \"directory\"\nis gone", Registered: at, Heard: at},
		},
		Left:    []roster.Left{{Origin: origin, Reason: "stream broken", When: at, Session: "R", Address: "10.0.0.1:2", Times: 2}},
		Refused: []roster.Refused{{Origin: origin, Holder: "session S from 10.0.0.1:1", When: at, Address: "10.0.0.2:3", Times: 500}},
	}}
	whole := func(r *http.Response) []byte {
		text := body(t, r)
		return bytes.Replace(text, fmt.Appendf(nil, "%016x", f.list.Current().Epoch), []byte("EPOCH"), 1)
	}
	h := f.handler()
	r := get(t, h, "GET", "/scouts")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %v", r.StatusCode, r.Header)
	}
	golden(t, "scouts.json", whole(r))
	if r := get(t, h, "HEAD", "/scouts"); r.StatusCode != 200 || len(body(t, r)) != 0 {
		t.Errorf("HEAD: %d", r.StatusCode)
	}
	f.roster.Scoutmasters = []roster.Scoutmaster{
		{Name: "a", URL: "http://a:3001", State: roster.ScoutmasterLive, Scouts: 3, Revision: 4, Version: "v1"},
		{Name: "b\n", State: roster.ScoutmasterCutOff},
		{Name: "c", URL: "http://c:3001", State: roster.ScoutmasterGone, Version: "v0"},
	}
	f.roster.Scouts[0].Scoutmaster = "a"
	f.roster.Scouts[1].Scoutmaster, f.roster.Scouts[1].Heard = "b\n", time.Time{}
	golden(t, "scouts-fleet.json", whole(get(t, h, "GET", "/scouts")))
	f.roster = roster.Roster{}
	golden(t, "scouts-none.json", whole(get(t, h, "GET", "/scouts")))
	for _, bad := range []struct {
		method, target string
		want           int
	}{{"POST", "/scouts", 405}, {"GET", "/scouts?host=web-01", 400}, {"GET", "/scouts/", 404}} {
		if r := get(t, h, bad.method, bad.target); r.StatusCode != bad.want || r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %v", bad.method, bad.target, r.StatusCode, r.Header)
		}
	}
}

// What a scoutmaster of a fleet answers is as the description has it.
func TestFleetAnswersConform(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	for file, schema := range map[string]string{"scouts-fleet.json": "Fleet", "fresh-fleet.json": "Files"} {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := json.Unmarshal(bytes.Replace(text, []byte("EPOCH"), []byte("000001a221597369"), 1), &value); err != nil {
			t.Fatal(err)
		}
		if err := doc.Components.Schemas[schema].Value.VisitJSON(value); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

func TestScoutsInCodings(t *testing.T) {
	f := &fleet{list: sample(), roster: roster.Roster{Scouts: make([]roster.Scout, 1000)}}
	plain := body(t, get(t, f.handler(), "GET", "/scouts"))
	r := ask(t, f.handler(), "GET", "/scouts", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(z); err != nil || !bytes.Equal(text, plain) || !json.Valid(plain) {
		t.Errorf("%d bytes, want %d: %v", len(text), len(plain), err)
	}
	if r := ask(t, f.handler(), "GET", "/scouts", "Accept-Encoding", "identity;q=0"); r.StatusCode != 406 {
		t.Errorf("no coding: %d", r.StatusCode)
	}
}

func BenchmarkScouts(b *testing.B) {
	r := roster.Roster{Scouts: make([]roster.Scout, 10_000)}
	for i := range r.Scouts {
		r.Scouts[i] = roster.Scout{
			Origin: files.Origin{Host: fmt.Sprint("host-", i), Directory: "/srv/data"}, State: roster.Live, Version: "v1.2.3",
			Session: "ABCDEFGH", Address: "10.0.0.1:12345", Registered: time.Now(), Heard: time.Now(),
		}
	}
	v := listing.New().Current()
	b.ReportAllocs()
	for b.Loop() {
		b.SetBytes(int64(len(renderRoster(v, r))))
	}
}
