package master

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
)

// scouts are members that rescan when the test says so.
type scouts struct {
	*testing.T
	*Registry
	peers   map[string]*fakePeer
	members map[string]stream.Member
}

func newScouts(t *testing.T, hosts ...string) *scouts {
	r, _ := observed()
	f := &scouts{t, r, map[string]*fakePeer{}, map[string]stream.Member{}}
	for _, host := range hosts {
		f.peers[host] = &fakePeer{rescans: make(chan struct{})}
		p := f.peers[host].peer("session of " + host)
		p.Origin.Host = host
		f.members[host] = join(t, r, p)
	}
	return f
}

func (f *scouts) show(host string) {
	f.members[host].Reset(filestest.Set("of "+host), stream.Arrival{Revision: 1})
}

func (f *scouts) rescanned(host string) { close(f.peers[host].rescans) }

// expect waits for at most limit and fails unless the list has that many entries
// and these scouts are named: "host: a part of the reason".
func (f *scouts) expect(limit time.Duration, entries int, named ...string) {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), limit)
	defer cancel()
	v, unconfirmed := f.Barrier(ctx, everybody)
	if v.Len != entries {
		f.Errorf("%d entries, want %d", v.Len, entries)
	}
	f.named(unconfirmed, named...)
}

func (f *scouts) named(unconfirmed []roster.Unconfirmed, named ...string) {
	f.Helper()
	ok := len(unconfirmed) == len(named)
	var got []string
	for i, u := range unconfirmed {
		got = append(got, u.Origin.Host+": "+u.Reason)
		ok = ok && strings.HasPrefix(got[i], named[i])
	}
	if !ok {
		f.Errorf("unconfirmed: %q, want %q", got, named)
	}
}

// Whatever a scout does meanwhile, either it has rescanned or it is named.
func TestBarrier(t *testing.T) {
	for _, tc := range []struct {
		name      string
		meanwhile func(f *scouts) // after a second
		entries   int
		took      time.Duration
		named     []string
	}{
		{"both rescan", func(f *scouts) { f.rescanned("a"); f.rescanned("b") }, 2, time.Second, nil},
		{"one rescans", func(f *scouts) { f.rescanned("b") }, 2, time.Minute, []string{"a: no answer in time; it was last heard 1.5s ago"}},
		{"one hides", func(f *scouts) { f.rescanned("a"); f.members["b"].Hide("gone", 0) }, 1, time.Second, []string{"b: gone"}},
		{"one rescans and hides", func(f *scouts) { f.rescanned("b"); f.members["b"].Hide("gone", 0); f.rescanned("a") }, 1, time.Second, []string{"b: gone"}},
		{"one deregisters", func(f *scouts) { f.rescanned("a"); f.members["b"].Leave(stream.LeftDeregistered) }, 1, time.Second, nil},
		{"one cannot see everything", func(f *scouts) {
			f.members["b"].Report(stream.Condition{Unreadable: 1, Incomplete: "d cannot be read"})
			f.rescanned("a")
			f.rescanned("b")
		}, 2, time.Second, []string{"b: d cannot be read"}},
		{"one is lost", func(f *scouts) { f.rescanned("a"); f.members["b"].Leave(stream.LeftSilent) }, 1, time.Second, []string{"b: it has left: silent past deadline"}},
		{"one scans again", func(f *scouts) { f.rescanned("a"); f.members["b"].Hide("scanning", 7) }, 1, time.Second, []string{"b: scanning, 7 files so far"}},
		{"one hides and is back", func(f *scouts) {
			f.members["b"].Hide("gone", 0)
			f.show("b")
			f.rescanned("a")
		}, 2, time.Second, []string{"b: its files were hidden for a moment"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newScouts(t, "a", "b")
				f.show("a")
				f.show("b")
				time.AfterFunc(time.Second, func() { tc.meanwhile(f) })
				began := time.Now()
				f.expect(time.Minute, tc.entries, tc.named...)
				if took := time.Since(began); took != tc.took {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// A hidden scout is named without being waited for, one whose first snapshot is
// on its way is waited for.
func TestBarrierWithHiddenScouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newScouts(t, "a", "b", "c")
		f.show("a")
		f.rescanned("a")
		f.members["b"].Hide("scanning", 0)
		began := time.Now()
		f.expect(time.Second, 1, "b: scanning", "c: its first snapshot has not come yet")
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		f.members["c"].Hide("", 0)
		f.members["c"].Hide("", 0)
		f.expect(time.Minute, 1, "b: scanning", "c: the scout gives no reason")
		if took := time.Since(began); took != time.Second {
			t.Errorf("hidden scouts were waited for: %v", took)
		}
		f.show("c")
		f.rescanned("c")
		f.members["b"].Leave(stream.LeftBroken)
		f.expect(time.Minute, 2)
	})
}

// Only scouts of the wanted origins are asked.
func TestBarrierOfSomeOrigins(t *testing.T) {
	f := newScouts(t, "a", "b")
	f.show("a")
	f.show("b")
	f.rescanned("a")
	v, unconfirmed := f.Barrier(t.Context(), func(o files.Origin) bool { return o.Host == "a" })
	if v.Len != 2 || len(unconfirmed) != 0 {
		t.Errorf("%d entries, unconfirmed: %v", v.Len, unconfirmed)
	}
}

// A scout that was hidden meanwhile is named, though it is shown again.
func TestBarrierNamesAScoutThatWasHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScouts(t, "a", "b")
		s.show("a")
		s.show("b")
		s.rescanned("a")
		time.AfterFunc(time.Second, func() {
			s.members["a"].Hide("gone", 0)
			s.show("a")
			s.rescanned("b")
		})
		s.expect(time.Minute, 2, "a: its files were hidden for a moment")
	})
}

// A scout that has answered and then deregisters is neither listed nor named.
func TestBarrierWithAScoutThatDeregisters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScouts(t, "a", "b")
		s.show("a")
		s.show("b")
		s.rescanned("a")
		time.AfterFunc(time.Second, func() {
			s.members["a"].Leave(stream.LeftDeregistered)
			s.rescanned("b")
		})
		s.expect(time.Minute, 1)
	})
}

func BenchmarkBarrier(b *testing.B) {
	r, _ := observed()
	done := make(chan struct{})
	close(done)
	for i := range 10_000 {
		p := (&fakePeer{rescans: done}).peer("s")
		p.Origin.Host = fmt.Sprint("host-", i)
		m, err := r.Join(b.Context(), p)
		if err != nil {
			b.Fatal(err)
		}
		m.Reset(filestest.Set(), stream.Arrival{Revision: 1})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, unconfirmed := r.Barrier(b.Context(), everybody); unconfirmed != nil {
			b.Fatal(unconfirmed)
		}
	}
}

// The list is taken before the reasons are collected, so that a scout that is
// hidden in between is either named or listed.
func TestBarrierTakesTheListBeforeTheReasons(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScouts(t, "a", "b")
		s.show("a")
		s.show("b")
		s.rescanned("a")
		// The barrier asks for b's silence, for its reason, after it has judged a.
		s.peers["b"].silence = func() time.Duration {
			s.members["a"].Hide("the directory vanished", 0)
			return time.Second
		}
		s.expect(time.Second, 2, "b: no answer in time")
	})
}
