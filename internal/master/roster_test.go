package master

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
)

func TestRosterStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newScouts(t, "d", "a", "b", "c", "e")
		began := time.Now()
		time.Sleep(time.Minute)
		f.show("a")
		f.show("b")
		f.members["b"].Report(stream.Condition{Unreadable: 1, Polled: 2, Incomplete: "/mnt does not answer", PollRound: time.Minute})
		f.members["c"].Hide("scanning", 7)
		f.members["d"].Hide("the directory does not exist", 0)
		if err := f.members["a"].Apply(files.Delta{Removed: filestest.Set(), Added: filestest.Set("x", "y")}, stream.Arrival{Revision: 2}); err != nil {
			t.Fatal(err)
		}
		scout := func(host string, s roster.Scout) roster.Scout {
			s.Origin = files.Origin{Host: host, Directory: home.Directory}
			s.Registered, s.Heard = began, time.Now().Add(-1500*time.Millisecond)
			s.Version, s.Session = "v1", "session of "+host
			s.Address = s.Session + ".example:1"
			return s
		}
		want := []roster.Scout{
			scout("a", roster.Scout{State: roster.Live, Files: 3, Revision: 2}),
			scout("b", roster.Scout{State: roster.Degraded, Files: 1, Revision: 1, Unreadable: 1, Polled: 2, Reason: "/mnt does not answer", PollRound: time.Minute}),
			scout("c", roster.Scout{State: roster.Scanning, Reason: "scanning, 7 files so far", Scanned: 7}),
			scout("d", roster.Scout{State: roster.Unavailable, Reason: "the directory does not exist"}),
			scout("e", roster.Scout{State: roster.Scanning, Reason: "its first snapshot has not come yet"}),
		}
		if diff := cmp.Diff(want, f.Roster().Scouts); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		f.members["a"].Hide("the directory does not exist", 0)
		f.show("c")
		want[0] = scout("a", roster.Scout{State: roster.Unavailable, Reason: "the directory does not exist"})
		want[2] = scout("c", roster.Scout{State: roster.Live, Files: 1, Revision: 1})
		if diff := cmp.Diff(want, f.Roster().Scouts); diff != "" {
			t.Errorf("later (-want +got)\n%s", diff)
		}
	})
}

func TestRosterRemembersWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newScouts(t, "a", "b")
		f.members["a"].Leave(stream.LeftBroken)
		time.Sleep(time.Second)
		f.members["b"].Leave(stream.LeftDeregistered)
		time.Sleep(time.Second)
		p := (&fakePeer{}).peer("again")
		p.Origin.Host = "a"
		join(t, f.Registry, p).Leave(stream.LeftSilent)
		got := f.Roster()
		if len(got.Scouts) != 0 || len(got.Left) != 2 {
			t.Fatalf("%+v", got)
		}
		want := []roster.Left{
			{Origin: p.Origin, Reason: "silent past deadline", When: time.Now(), Session: "again", Address: "again.example:1", Times: 2},
			{
				Origin: files.Origin{Host: "b", Directory: home.Directory}, Reason: "deregistered", When: time.Now().Add(-time.Second),
				Session: "session of b", Address: "session of b.example:1", Times: 1,
			},
		}
		if diff := cmp.Diff(want, got.Left); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}

// Repeated refusals of a twin are one entry with a count.
func TestRosterRemembersWhoWasRefused(t *testing.T) {
	r, _ := observed()
	join(t, r, (&fakePeer{answers: true}).peer("first"))
	for i := range 500 {
		p := (&fakePeer{}).peer("twin")
		p.Address = fmt.Sprint("10.0.0.1:", 1000+i)
		if _, err := r.Join(t.Context(), p); err == nil {
			t.Fatal("a twin was let in")
		}
	}
	p := (&fakePeer{}).peer("other")
	p.Address = "10.0.0.2:1000"
	if _, err := r.Join(t.Context(), p); err == nil {
		t.Fatal("another twin was let in")
	}
	got := r.Roster().Refused
	if len(got) != 2 || got[0].Times != 1 || got[1].Times != 500 || got[1].Address != "10.0.0.1:1499" || got[1].Holder != "session first from first.example:1" {
		t.Errorf("%+v", got)
	}
}

func TestRecentIsBounded(t *testing.T) {
	var l recent[int, int]
	for i := range 10 * recentMost {
		l.note(i, i)
	}
	all := l.all(func(*int, int) {})
	if len(all) != recentMost || all[0] != 10*recentMost-1 || all[recentMost-1] != 9*recentMost {
		t.Errorf("%d events, %v", len(all), all)
	}
}

func BenchmarkRoster(b *testing.B) {
	r, _ := observed()
	for i := range 10_000 {
		p := (&fakePeer{}).peer("s")
		p.Origin.Host = fmt.Sprint("host-", i)
		if _, err := r.Join(b.Context(), p); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if n := len(r.Roster().Scouts); n != 10_000 {
			b.Fatal(n)
		}
	}
}

func TestCounts(t *testing.T) {
	r, _ := observed()
	peer := new(fakePeer).peer("s1")
	expect := func(want map[roster.State]int) {
		t.Helper()
		got := r.Counts().Fleet.Scouts
		if own := r.Counts().Own.Scouts; !maps.Equal(own, got) {
			t.Errorf("alone, its own are %v of %v", own, got)
		}
		if delete(got, roster.Gone); !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	expect(map[roster.State]int{})
	m := join(t, r, peer)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Hide("no such directory", 0)
	expect(map[roster.State]int{roster.Unavailable: 1})
	m.Hide("reading it again", 17)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Hide(stream.Scanning, 0)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Reset(filestest.Set("a"), stream.Arrival{Revision: 1})
	expect(map[roster.State]int{roster.Live: 1})
	m.Report(stream.Condition{Unreadable: 0, Polled: 2})
	expect(map[roster.State]int{roster.Degraded: 1})
	m.Hide(stream.Resyncing, 0)
	expect(map[roster.State]int{roster.Scanning: 1})
	m.Reset(filestest.Set("a"), stream.Arrival{Revision: 1})
	m.Report(stream.Condition{})
	other := peer
	other.Origin.Host = "web-02"
	n := join(t, r, other)
	expect(map[roster.State]int{roster.Live: 1, roster.Scanning: 1})
	m.Leave(stream.LeftDeregistered)
	n.Leave(stream.LeftBroken)
	expect(map[roster.State]int{})
}

// A scout that leaves otherwise than by deregistering is gone until it is back,
// has deregistered, or a day has passed.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := observed()
		arrive := func(host string) stream.Member {
			p := new(fakePeer).peer("s")
			p.Origin.Host = host
			return join(t, r, p)
		}
		expect := func(when string, want int) {
			t.Helper()
			if got := r.Counts().Fleet.Scouts[roster.Gone]; got != want {
				t.Errorf("%s: %d are gone, want %d", when, got, want)
			}
			if got := r.Roster().Gone; got != want {
				t.Errorf("%s: the roster has %d that are gone, want %d", when, got, want)
			}
		}
		arrive("a").Leave(stream.LeftSilent)
		arrive("b").Leave(stream.LeftBroken)
		arrive("c").Leave(stream.LeftDeregistered)
		expect("two of three are lost", 2)
		arrive("a").Leave(stream.LeftBroken)
		expect("one is lost again", 2)
		b := arrive("b")
		expect("one is back", 1)
		b.Leave(stream.LeftDeregistered)
		expect("it deregisters", 1)
		stale := arrive("d")
		d := arrive("d")
		stale.Leave(stream.LeftBroken)
		expect("a scout that was replaced", 1)
		d.Leave(stream.LeftExceeded)
		expect("its successor leaves", 2)
		time.Sleep(goneMemory - time.Minute)
		expect("nearly a day later", 2)
		time.Sleep(time.Minute)
		expect("a day later", 0)
	})
}

// A scoutmaster that was lost is remembered until it is back, or a day has passed.
func TestLostMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l lostMasters
		note := func(name string, phase masterPhase) { l.note(&scoutmaster{tick: Tick{Name: name}, phase: phase}) }
		expect := func(want ...string) {
			t.Helper()
			var got []string
			for _, m := range l.all() {
				got = append(got, m.Name)
				if m.State != roster.ScoutmasterGone {
					t.Errorf("%s is %s", m.Name, m.State)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		for _, name := range []string{"a", "b", "c"} {
			note(name, masterLive)
			note(name, masterLost)
			note(name, masterBuried)
		}
		note("d", masterLeaving)
		note("d", masterBuried)
		expect("a", "b", "c")
		note("b", masterLive)
		expect("a", "c")
		time.Sleep(goneMemory - time.Minute)
		note("b", masterLost)
		expect("a", "c", "b")
		time.Sleep(time.Minute)
		expect("b")
		for i := range 2 * lostMost {
			note(fmt.Sprint(i), masterLost)
		}
		if n := len(l.all()); n != lostMost {
			t.Errorf("%d are remembered", n)
		}
	})
}

func TestGoneIsBounded(t *testing.T) {
	var g gone
	origin := func(i int) files.Origin { return files.Origin{Host: fmt.Sprint(i)} }
	for i := range 2 * goneMost {
		g.add(origin(i))
	}
	if n := g.count(); n != goneMost {
		t.Errorf("%d are remembered", n)
	}
	g.remove(origin(0))
	if g.remove(origin(2*goneMost - 1)); g.count() != goneMost-1 {
		t.Errorf("%d are left", g.count())
	}
	for range 4 * goneMost {
		g.add(origin(1))
		g.remove(origin(1))
	}
	if n := len(g.order); n > 3*goneMost+1024 {
		t.Errorf("%d departures are remembered of %d", n, g.count())
	}
}
