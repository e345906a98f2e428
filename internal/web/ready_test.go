package web

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
	"scout/internal/roster"
)

// twoMasters returns two scoutmasters of a fleet. The first one is an entry ahead
// of the second.
func twoMasters(t *testing.T) (ahead, behind *playedMaster) {
	t.Helper()
	f := newPlayedFleet(t, 2)
	f.append(playedOp{origin: listingtest.Origin(1), show: true, added: []string{"a", "b", "c"}})
	f.append() // a heartbeat
	f.append(playedOp{origin: listingtest.Origin(1), removed: []string{"a"}, added: []string{"d"}})
	f.masters[0].follow(4)
	f.masters[1].follow(3)
	return f.masters[0], f.masters[1]
}

// brought are requests with a tag, a cursor and an id of a scoutmaster: queries
// and headers.
func brought(t *testing.T, m *playedMaster) map[string][]string {
	t.Helper()
	answer := m.ask(t.Context(), "limit=1")
	_, next := namesAndNext(t, body(t, answer))
	tag := answer.Header.Get("ETag")
	return map[string][]string{
		"a tag":                    {"limit=1", "If-None-Match", tag},
		"a tag of another format":  {"format=text", "If-None-Match", tag},
		"one of several tags":      {"", "If-None-Match", `"x", ` + tag + `, W/"00000000000003e8-1-json"`},
		"a tag and a wait":         {"wait=10s", "If-None-Match", tag},
		"a tag and fresh":          {"fresh=1s", "If-None-Match", tag},
		"a cursor":                 {"limit=1&after=" + next},
		"an id":                    {"format=events", "Last-Event-ID", m.list.Current().Tag()},
		"an id in the query":       {"format=ndjson&watch=true&last_event_id=" + m.list.Current().Tag()},
		"an id between two events": {"format=events", "Last-Event-ID", "00000000000003e8-2-4"},
	}
}

// request sends a request that is a query and headers, and returns the status, the
// type of the problem and how long that took.
func (m *playedMaster) request(q []string) (status int, problem string, took time.Duration) {
	m.Helper()
	began := time.Now()
	answer := m.ask(m.Context(), q[0], q[1:]...)
	defer answer.Body.Close()
	if answer.StatusCode >= 400 {
		var p struct{ Type string }
		if err := json.NewDecoder(answer.Body).Decode(&p); err != nil {
			m.Error(err)
		}
		problem = p.Type
		if answer.StatusCode == 503 && answer.Header.Get("Retry-After") == "" {
			m.Errorf("%s without Retry-After", problem)
		}
	}
	return answer.StatusCode, problem, time.Since(began)
}

// A scoutmaster that has not reached a revision waits for it.
func TestWaitsForARevision(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead, late := twoMasters(t)
		for what, q := range brought(t, ahead) {
			_, late := twoMasters(t)
			time.AfterFunc(time.Second, func() { late.follow(1) })
			status, problem, took := late.request(q)
			want, wait := 200, time.Second
			switch what {
			case "a tag":
				want = 304
			case "a tag and a wait":
				want, wait = 304, 11*time.Second
			case "a tag and fresh":
				want = 304
			case "one of several tags":
				want = 304
			}
			if status != want || took != wait {
				t.Errorf("%s: %d %s after %v, want %d after %v", what, status, problem, took, want, wait)
			}
		}
		for what, q := range brought(t, ahead) {
			if status, problem, took := late.request(q); status != 503 || problem != "/problems/behind" || took != playedDeadline {
				t.Errorf("%s of a revision that does not come: %d %s after %v", what, status, problem, took)
			}
		}
		for what, q := range brought(t, late) { // its own
			if what == "a tag and a wait" || what == "an id between two events" {
				continue
			}
			if status, problem, took := ahead.request(q); status >= 400 || took != 0 {
				t.Errorf("%s of an earlier revision: %d %s after %v", what, status, problem, took)
			}
		}
		if status, _, took := late.request([]string{""}); status != 200 || took != 0 {
			t.Errorf("nothing brought: %d after %v", status, took)
		}
	})
}

// What is of an epoch that others have begun is waited for. What is of an earlier
// one is outdated, and so is what is of a scoutmaster that was alone, or has a
// revision that there is not.
func TestOtherEpochs(t *testing.T) {
	alone := listing.New().Current().Epoch
	for _, tc := range []struct {
		epoch, revision uint64
		tag, cursor     int
		events          string
		waits           bool
	}{
		{epoch: 999, revision: 50, tag: 200, cursor: 410, events: "reset"},
		{epoch: 1000, revision: 3, tag: 200, cursor: 200, events: "reset"}, // a heartbeat is no revision
		{epoch: 1001, revision: 1, tag: 503, cursor: 503, waits: true},
		{epoch: alone, revision: 1, tag: 200, cursor: 410, events: "reset"},
	} {
		synctest.Test(t, func(t *testing.T) {
			_, m := twoMasters(t)
			id := fmt.Sprintf("%016x-%d", tc.epoch, tc.revision)
			c := cursor{epoch: tc.epoch, revision: tc.revision, query: new(query).hash(), position: position{[]byte("a"), listingtest.Origin(1)}}
			wait := time.Duration(0)
			if tc.waits {
				wait = playedDeadline
			}
			if status, problem, took := m.request([]string{"", "If-None-Match", `W/"` + id + `-json"`}); status != tc.tag || took != wait {
				t.Errorf("the tag %s: %d %s after %v", id, status, problem, took)
			}
			if status, problem, took := m.request([]string{"after=" + c.String()}); status != tc.cursor || took != wait {
				t.Errorf("a cursor of %s: %d %s after %v", id, status, problem, took)
			}
			if tc.waits {
				if status, problem, took := m.request([]string{"format=events", "Last-Event-ID", id}); status != 503 || took != wait {
					t.Errorf("the id %s: %d %s after %v", id, status, problem, took)
				}
				return
			}
			s := m.resume("format=events", place{last: id})
			synctest.Wait()
			if got := s.log(); !strings.HasPrefix(got, tc.events) {
				t.Errorf("the id %s: told %s", id, got)
			}
			s.cut(0)
		})
	}
}

// A scoutmaster alone never waits: nobody else has its list.
func TestAloneNothingIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listing.New()
		lab := serveLab(t, l, nobody{l}, Options{Watchers: 3, Deadline: playedDeadline})
		m := &playedMaster{watchLab: lab}
		for _, id := range []string{"00000000000003e8-1", "ffffffffffffffff-1", fmt.Sprintf("%016x-9", l.Current().Epoch)} {
			for _, q := range [][]string{{"", "If-None-Match", `W/"` + id + `-json"`}, {"format=events", "Last-Event-ID", id}} {
				if status, _, took := m.request(q); status != 200 || took != 0 {
					t.Errorf("%v: %d after %v", q, status, took)
				}
			}
		}
	})
}

// A scoutmaster that must not serve the list says so to everybody who asks, waits
// or watches, and comes back.
func TestUnready(t *testing.T) {
	for problem, err := range map[string]error{
		"/problems/cut-off": roster.ErrCutOff, "/problems/catching-up": fmt.Errorf("at the start: %w", roster.ErrNoState), "/problems/behind": roster.ErrBehind,
	} {
		synctest.Test(t, func(t *testing.T) {
			ahead, m := twoMasters(t)
			tag := m.ask(t.Context(), "").Header.Get("ETag")
			stream := m.open("format=events")
			answers := make(chan string, 2)
			for _, q := range [][]string{
				{"wait=30s", "If-None-Match", tag},
				{"", "If-None-Match", ahead.ask(t.Context(), "").Header.Get("ETag")}, // waits for the revision
			} {
				go func() {
					_, problem, took := m.request(q)
					answers <- fmt.Sprint(problem, took)
				}()
			}
			synctest.Wait()
			time.Sleep(time.Second)
			m.setReady(err)
			<-stream.ended
			for range 2 {
				if got := <-answers; got != problem+"1s" {
					t.Errorf("who waits is told %s", got)
				}
			}
			m.follow(1) // nobody is told
			if got := stream.log(); got != "reset a@host-499 b@host-499 c@host-499" {
				t.Errorf("told: %s", got)
			}
			queries := [][]string{{""}, {"fresh=1s"}, {"format=events"}, {"limit=1"}, {"", "If-None-Match", "*"}, {"wait=1s", "If-None-Match", tag}}
			for _, q := range queries {
				if status, got, took := m.request(q); status != 503 || got != problem || took != 0 {
					t.Errorf("%v: %d %s after %v", q, status, got, took)
				}
			}
			if r := ask(t, m.handler, "GET", "/readyz"); r.StatusCode != 503 || !strings.Contains(string(body(t, r)), problem) {
				t.Errorf("/readyz: %s", r.Status)
			}
			for _, path := range []string{"/healthz", "/", "/openapi.json"} {
				if r := ask(t, m.handler, "GET", path); r.StatusCode != 200 {
					t.Errorf("%s: %s", path, r.Status)
				}
			}
			if r, want := ask(t, m.handler, "GET", "/scouts"), map[string]int{"/problems/cut-off": 200, "/problems/catching-up": 503, "/problems/behind": 200}[problem]; r.StatusCode != want {
				t.Errorf("/scouts: %s", r.Status)
			}
			m.setReady(nil)
			back := m.resume("format=events", stream.place)
			synctest.Wait()
			if got := back.log(); got != "remove a@host-499; add d@host-499" {
				t.Errorf("resumed: %s", got)
			}
			back.cut(0)
			if r := ask(t, m.handler, "GET", "/readyz"); r.StatusCode != 200 {
				t.Errorf("/readyz: %s", r.Status)
			}
		})
	}
}

// Who waits for a revision does not hold up the end of the scoutmaster.
func TestWaitingEndsWithTheScoutmaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ahead, m := twoMasters(t)
		time.AfterFunc(time.Second, m.handler.EndWatching)
		tag := ahead.ask(t.Context(), "").Header.Get("ETag")
		if status, problem, took := m.request([]string{"", "If-None-Match", tag}); status != 503 || problem != "/problems/not-ready" || took != time.Second {
			t.Errorf("%d %s after %v", status, problem, took)
		}
	})
}

// When the log was made anew, revisions of the new epoch are not taken for those of
// the old one, though their numbers are the same.
func TestWatchAcrossEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listing.New()
		lab := serveLab(t, l, nobody{l}, Options{Watchers: 3})
		restart := func(epoch uint64, names ...string) *listing.Source {
			tx := l.Begin()
			tx.Restart(epoch, 1)
			tx.Advance(2)
			s := tx.Show(listingtest.Origin(1), filestest.Set(names...), nil)
			tx.Commit()
			return s
		}
		a := restart(7, "a")
		s := lab.open("format=events")
		synctest.Wait()
		lab.change(a, nil, "b")
		synctest.Wait()
		tag, revision := lab.ask(t.Context(), "").Header.Get("ETag"), l.Current().Revision
		poll := make(chan *http.Response)
		go func() { poll <- lab.ask(t.Context(), "prefix=zzz&wait=30s", "If-None-Match", tag) }()
		synctest.Wait()
		tx := l.Begin()
		tx.Restart(8, 1)
		for i := range revision + 3 {
			tx.Advance(2 + i)
			tx.Show(files.Origin{Host: fmt.Sprint(i), Directory: "/d"}, filestest.Set("x"), nil)
		}
		tx.Commit()
		synctest.Wait()
		lab.change(l.Show(listingtest.Origin(1), filestest.Set("x"), nil), []string{"x"}, "y")
		synctest.Wait()
		want := "reset a@host-499; add b@host-499; reset x@0 x@1 x@2 x@3 x@4 x@5; add x@host-499; remove x@host-499; add y@host-499"
		if got := s.log(); got != want && got != strings.Replace(want, "; add x@host-499; remove x@host-499", "", 1) {
			t.Errorf("told: %s", got)
		}
		if s.last != l.Current().Tag() {
			t.Errorf("the last id is %s, want %s", s.last, l.Current().Tag())
		}
		s.cut(0)
		if r := <-poll; r.StatusCode != 200 {
			t.Errorf("the long poll: %s", r.Status)
		}
	})
}

// Cursors that earlier versions gave are known to be outdated.
func TestCursorOfAnEarlierVersion(t *testing.T) {
	p := binary.BigEndian.AppendUint64(nil, 1<<63)
	p = binary.BigEndian.AppendUint64(p, new(query).hash())
	p = append(p, "\x01h\x02/d\x01a"...)
	if r := ask(t, newTestHandler(sample()), "GET", "/files?after="+cursorText.EncodeToString(appendSum(p))); r.StatusCode != http.StatusGone {
		t.Error(r.Status)
	}
}
