package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
)

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

// An EventSource whose id this scoutmaster cannot read is told the whole list: it
// would give up for good after an error.
func TestWatchFromAnUnreadableID(t *testing.T) {
	for _, id := range []string{"1", "another program's", "0000000000000001-", strings.Repeat("9", 500)} {
		synctest.Test(t, func(t *testing.T) {
			lab := newWatchLab(t)
			lab.list.Show(listingtest.Origin(1), filestest.Set("a"), nil)
			s := lab.resume("format=events", place{last: id})
			synctest.Wait()
			if got := s.log(); !strings.HasPrefix(got, "reset a@") {
				t.Errorf("after the id %.20q: %s, want a reset", id, got)
			}
			s.leave()
			<-s.ended
		})
	}
}

// Every path says which methods it answers.
func TestOptions(t *testing.T) {
	h := newTestHandler(sample())
	for _, path := range []string{"/files", "/scouts", "/", "/healthz", "/openapi.json"} {
		r := ask(t, h, "OPTIONS", path)
		if r.StatusCode != 204 || r.Header.Get("Allow") != "GET, HEAD" || len(body(t, r)) > 0 {
			t.Errorf("OPTIONS %s: %s %v", path, r.Status, r.Header)
		}
	}
}

// The type of a problem leads to its meaning.
func TestProblemTypes(t *testing.T) {
	h := newTestHandler(sample())
	for _, p := range problems {
		if r := ask(t, h, "GET", "/problems/"+p.name); r.StatusCode != 200 || !strings.Contains(string(body(t, r)), p.title) {
			t.Errorf("%s: %s", p.name, r.Status)
		}
	}
	if r := ask(t, h, "GET", "/problems/unknown"); r.StatusCode != 404 {
		t.Errorf("an unknown type: %s", r.Status)
	}
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
		"last_event_id=0000000000000001-1":             "is for watching",
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
	if r := ask(t, h, "HEAD", "/files", "Accept", "text/event-stream"); r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %s %v", r.Status, r.Header)
	}
}
