package master

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
)

// Scoutmasters that share a log have one list and one history.
func TestSharedList(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		for i, m := range f.list() {
			m.arrive(fmt.Sprint("host-", i)).show(fmt.Sprint("f", i))
		}
		f.agree("f0", "f1", "f2")
		s := f.masters[1].arrive("other").show("x", "y")
		if err := s.Apply(files.Delta{Removed: filestest.Set("x"), Added: filestest.Set("z")}, stream.Arrival{Revision: 2}); err != nil {
			t.Fatal(err)
		}
		f.agree("f0", "f1", "f2", "y", "z")
		if err := s.Apply(files.Delta{Removed: filestest.Set("x"), Added: filestest.Set()}, stream.Arrival{Revision: 3}); err == nil {
			t.Error("a name that is not there was removed")
		}
		s.Leave(stream.LeftViolation)
		f.agree("f0", "f1", "f2")
		var names []string
		for i := range 60_000 {
			names = append(names, fmt.Sprintf("directory-%03d/%05d", i/100, i))
		}
		f.masters[2].arrive("large").show(names...)
		f.agree(append(names, "f0", "f1", "f2")...)
		for _, message := range f.ring.messages {
			if len(message) > partSize+10_000 {
				t.Errorf("a message has %d bytes", len(message))
			}
		}
		if counts := f.masters[0].Counts().Fleet.Scouts; counts[roster.Live] != 4 || counts[roster.Gone] != 1 {
			t.Errorf("%v", counts)
		}
	})
}

// A scoutmaster that joins takes the state of another, and begins no epoch: its
// heartbeat may find it without a state and hear from the log when it has one.
func TestNewcomersBeginNoEpoch(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		f.masters[0].arrive("host").show("f")
		f.agree("f")
		begun := f.ring.begun()
		for i := range 20 {
			f.ring.hesitation.Store(int64(i) * int64(time.Millisecond))
			m := f.start()
			f.await("it is ready", func() bool { return m.Ready() == nil })
			f.agree("f")
		}
		if n := f.ring.begun() - begun; n > 0 {
			t.Errorf("%d epochs were begun", n)
		}
	})
}

// Of two scouts of one origin that come to two scoutmasters at once one is let in;
// the holder of an origin at another scoutmaster is asked through it.
func TestOneHolderInTheFleet(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		results := make(chan error, 2)
		for _, m := range f.list() {
			go func() {
				_, err := m.tryArrive("twin")
				results <- err
			}()
		}
		one, two := <-results, <-results
		if (one == nil) == (two == nil) {
			t.Errorf("both have %v and %v", one, two)
		}
		var held *stream.HeldError
		if err := errors.Join(one, two); !errors.As(err, &held) || !strings.Contains(held.Holder, "session of twin") {
			t.Errorf("error %v", err)
		}
	})
}

// A planned stop takes nothing from the list while the scouts move.
func TestAScoutmasterThatStops(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		stopping := f.masters[0]
		s := stopping.arrive("moves").show("x")
		stopping.arrive("stays").show("stays")
		f.agree("stays", "x")
		changed := stopping.ReadyChanged()
		if err := stopping.Stop(f.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := stopping.tryArrive("late"); err == nil || err.Error() != "this scoutmaster is stopping" {
			t.Errorf("a scout is let in: %v", err)
		}
		f.masters[1].arrive("new").show("new").Leave(stream.LeftDeregistered)
		time.Sleep(testHeartbeat)
		if stopping.Ready() != nil || isClosed(changed) || stopping.state.list.Current().Tag() != f.masters[1].state.list.Current().Tag() {
			t.Errorf("its readers cannot finish: %v", stopping.Ready())
		}
		if got := s.evicted.Load(); got != "dismissed: this scoutmaster is stopping" {
			t.Errorf("its scout was told %v", got)
		}
		s.Leave(stream.LeftStopping)
		stopping.kill()
		f.agree("stays", "x")
		f.masters[2].arrive("moves")
		f.agree("stays", "x")
		f.await("what has not moved is dropped", func() bool { return len(f.masters[1].names()) == 1 })
		f.agree("x")
	})
}

// A scoutmaster that has stopped says nothing any more, even if it runs on for a
// while, and over a log that drops and delays.
func TestAStoppedScoutmasterIsSilent(t *testing.T) {
	for seed := range uint64(10) {
		inVirtualTime(t, 2, func(f *testFleet) {
			stopping, other := f.masters[0], f.masters[1]
			stopping.line.disturb(rand.New(rand.NewPCG(seed, 1)))
			time.Sleep(time.Duration(seed) * testHeartbeat / 7)
			if err := stopping.Stop(f.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := stopping.tryArrive("late"); err == nil {
				t.Error("a scout is let in")
			}
			time.Sleep(2 * testDeadline)
			if joined := other.logs.FilterMessage("scoutmaster joined").Len(); joined != 1 {
				t.Errorf("it has joined %d times", joined)
			}
			lost := other.logs.FilterMessage("scoutmaster lost").All()
			if len(lost) != 1 || lost[0].ContextMap()["reason"] != "scoutmaster stopping" {
				t.Errorf("it was lost: %v", lost)
			}
		})
	}
}

// A scoutmaster that is cut off when it stops ends its sessions all the same, in
// the time that it has.
func TestStopWithoutTheLog(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		m := f.masters[0]
		s := m.arrive("a").show("x")
		f.agree("x")
		m.line.setCut(true)
		time.Sleep(testHeartbeat)
		ctx, cancel := context.WithTimeout(f.Context(), testHeartbeat/2)
		defer cancel()
		if err := m.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it said that it leaves: %v", err)
		}
		if s.evicted.Load() != "dismissed: this scoutmaster is stopping" {
			t.Errorf("its scout was told %v", s.evicted.Load())
		}
		s.Leave(stream.LeftStopping)
		if got := f.masters[1].names(); !slices.Equal(got, []string{"x"}) {
			t.Errorf("another lists %q", got)
		}
	})
}

// A scout that is sent away in the middle of a change is told why, and not that its
// change does not fit.
func TestCutOffDuringAChange(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		m := f.masters[0]
		s := m.arrive("a").show("x")
		f.agree("x")
		m.line.setCut(true)
		err := s.Apply(files.Delta{Removed: filestest.Set(), Added: filestest.Set("y")}, stream.Arrival{Revision: 2})
		if err != nil {
			t.Errorf("the change is refused: %v", err)
		}
		if s.evicted.Load() == nil {
			t.Error("the scout was not sent elsewhere")
		}
	})
}

// Each scoutmaster knows how the others are doing, and which scouts they have.
func TestRosterOfAFleet(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		expect := func(at int, want ...string) {
			t.Helper()
			var got []string
			for _, m := range f.masters[at].Roster().Scoutmasters {
				got = append(got, fmt.Sprintf("%s %s %d", m.Name, m.State, m.Scouts))
				if m.URL != "http://"+m.Name || m.Version != "v1" {
					t.Errorf("%+v", m)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("at %d: %q, want %q", at, got, want)
			}
		}
		for i, m := range f.list() {
			m.arrive(fmt.Sprint("host-", i)).show("x")
		}
		f.masters[2].arrive("more").show("x")
		f.agree("x", "x", "x", "x")
		time.Sleep(2 * testHeartbeat)
		for i := range 3 {
			expect(i, "master-0 live 1", "master-1 live 1", "master-2 live 2")
			r := f.masters[i].Roster()
			for n, s := range r.Scouts {
				if want := fmt.Sprint("master-", min(n, 2)); s.Scoutmaster != want || s.Heard.IsZero() != (n != i && (i != 2 || n != 3)) {
					t.Errorf("at %d: %s is at %q, heard %v", i, s.Origin.Host, s.Scoutmaster, s.Heard)
				}
			}
			for _, m := range r.Scoutmasters {
				if now := f.masters[i].state.list.Current().Revision; m.Revision != now {
					t.Errorf("at %d: %s is at revision %d of %d", i, m.Name, m.Revision, now)
				}
			}
		}

		files, live := 0, 0
		for i, m := range f.list() {
			c := m.Counts()
			files, live = files+c.Own.Files, live+c.Own.Scouts[roster.Live]
			if c.Fleet.Files != 4 || c.Fleet.Scouts[roster.Live] != 4 || c.CutOff || c.Lag > 2*testHeartbeat || c.Scoutmasters[roster.ScoutmasterLive] != 3 {
				t.Errorf("at %d: %+v", i, c)
			}
		}
		if files != 4 || live != 4 {
			t.Errorf("%d files of %d scouts in sum", files, live)
		}

		f.masters[2].kill()
		time.Sleep(testDeadline + 3*testHeartbeat)
		expect(0, "master-0 live 1", "master-1 live 1", "master-2 cut off 2")
		f.masters[0].arrive("more")
		expect(0, "master-0 live 2", "master-1 live 1", "master-2 cut off 1")
		time.Sleep(testDeadline + 2*testHeartbeat)
		expect(0, "master-0 live 2", "master-1 live 1", "master-2 gone 0")
		if c, other := f.masters[0].Counts(), f.masters[1].Counts(); c.Fleet.Scouts[roster.Gone] != 1 || c.Own.Scouts[roster.Gone] != 0 || other.Fleet.Scouts[roster.Gone] != 1 {
			t.Errorf("%+v, %+v, and one is gone", c, other)
		}
		again := f.startAs("master-2")
		f.await("it is back", func() bool { return again.Ready() == nil })
		again.arrive("host-2")
		time.Sleep(2 * testHeartbeat)
		expect(0, "master-0 live 2", "master-1 live 1", "master-2 live 1")

		if err := f.masters[1].Stop(f.Context()); err != nil { // as planned: it is not missed
			t.Error(err)
		}
		f.masters[1].kill()
		time.Sleep(testHeartbeat)
		expect(0, "master-0 live 2", "master-1 gone 1", "master-2 live 1")
		time.Sleep(2*testDeadline + 2*testHeartbeat)
		expect(0, "master-0 live 2", "master-2 live 1")

		f.masters[0].line.setCut(true)
		f.await("it is cut off", func() bool { return f.masters[0].Ready() != nil })
		expect(0, "master-0 cut off 2", "master-2 live 1")
		if c := f.masters[0].Counts(); !c.CutOff || c.Lag < testCutOff || c.Scoutmasters[roster.ScoutmasterCutOff] != 1 {
			t.Errorf("%+v", c)
		}
		f.masters[0].line.setCut(false)
		f.await("it is back", func() bool { return f.masters[0].Ready() == nil })
		expect(0, "master-0 live 0", "master-2 live 1")
	})
}

// A barrier reaches the scouts of all scoutmasters, and the list has what they have
// found.
func TestBarrierAcrossTheFleet(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		for i, m := range f.list() {
			s := m.arrive(fmt.Sprint("host-", i)).show("old")
			s.rescans = make(chan struct{})
			time.AfterFunc(time.Second, func() {
				s.show(fmt.Sprint("new", i)) // what the rescan has found
				close(s.rescans)
			})
		}
		f.agree("old", "old", "old")
		f.masters[0].line.lag.Store(int64(100 * time.Millisecond))
		barrier := func(entries int, wait time.Duration, want ...string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), wait)
			defer cancel()
			list, unconfirmed := f.masters[0].Barrier(ctx, everybody)
			var got []string
			for _, u := range unconfirmed {
				got = append(got, u.Origin.Host+u.Scoutmaster+": "+u.Reason)
			}
			if !slices.Equal(got, want) || list.Len != entries {
				t.Errorf("%d entries, unconfirmed: %q, want %q", list.Len, got, want)
			}
			for e := list.Entries(); e.Next(); {
				if string(e.Name()) == "old" {
					t.Errorf("the list of %s is old", e.Source().Origin.Host)
				}
			}
		}
		barrier(3, 5*time.Second)
		silent := f.masters[2].arrive("silent").show("silent")
		silent.rescans = make(chan struct{})
		f.await("it is listed", func() bool { return len(f.masters[0].names()) == 4 })
		barrier(4, 5*time.Second, "silent: no answer in time; it was last heard 1.5s ago")
		close(silent.rescans)
		barrier(4, 5*time.Second)
		// A scout that is not known here yet was registered elsewhere before the call.
		news := f.masters[1].arrive("news").show("old")
		news.rescans = make(chan struct{})
		time.AfterFunc(time.Second, func() {
			news.show("new")
			close(news.rescans)
		})
		if f.masters[0].state.find(news.Member.(*member).id) != nil {
			t.Fatal("it is known already")
		}
		barrier(5, 5*time.Second)
		f.masters[1].line.setCut(true)
		barrier(5, 2*time.Second, "master-1: it did not answer", "host-1: its scoutmaster \"master-1\" did not answer", "news: its scoutmaster \"master-1\" did not answer")
		f.masters[0].line.setCut(true)
		barrier(5, 2*time.Second, "master-0: it did not read its log to the end in time", "master-1: it did not answer",
			"host-1: its scoutmaster \"master-1\" did not answer", "host-2: what it found has not come through the log in time",
			"news: its scoutmaster \"master-1\" did not answer", "silent: what it found has not come through the log in time")
	})
}

// A scout that has not learned that it was let in tries again, here or there, and its
// files stay listed meanwhile; but no longer than the deadline.
func TestAScoutThatHasNotHeardItsWelcome(t *testing.T) {
	for name, tc := range map[string]struct {
		stands bool // the log, until the scout has given up; else the Welcome is lost
		reason stream.LeaveReason
	}{
		"the log stands still": {true, stream.LeftBroken},
		"the welcome is lost":  {false, stream.LeftBroken},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 3, func(f *testFleet) {
				f.masters[0].arrive("a").show("x", "y")
				f.masters[0].arrive("b").show("z")
				f.agree("x", "y", "z")
				if err := f.masters[0].Stop(f.Context()); err != nil {
					t.Fatal(err)
				}
				f.masters[0].kill()
				m := f.masters[1]
				for _, host := range []string{"a", "b"} {
					if tc.stands {
						m.line.lag.Store(int64(500 * time.Millisecond))
						ctx, cancel := context.WithTimeout(f.Context(), 100*time.Millisecond)
						defer cancel()
						if _, err := m.arriveAs(ctx, host, "w"); err == nil {
							t.Error("it was let in at once")
						}
					} else {
						m.arriveWith(host, "w").Leave(tc.reason)
					}
				}
				gaveUp := time.Now()
				m.line.lag.Store(0)
				time.Sleep(testDeadline / 2)
				f.agree("x", "y", "z")
				f.masters[2].arriveWith("a", "w")
				f.agree("x", "y", "z")
				f.await("what has not come again is dropped", func() bool { return len(m.names()) == 2 })
				if took := time.Since(gaveUp); took > testDeadline+2*testHeartbeat {
					t.Errorf("it was dropped after %v", took)
				}
				time.Sleep(3 * testDeadline)
				f.agree("x", "y")
			})
		})
	}
}

// logged counts the lines of all scoutmasters with a message.
func (f *testFleet) logged(msg string) (n int) {
	for _, m := range f.list() {
		n += m.logs.FilterMessage(msg).Len()
	}
	return n
}

// still is a Sequence whose log stands still.
type still struct {
	Sequence
	messages atomic.Int32
}

func (s *still) Append([]byte) error {
	s.messages.Add(1)
	return nil
}

// So many entries of sessions are on their way at once, whatever the sessions say, and
// the scoutmaster's own do not wait behind them.
func TestWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s still
		l := newShared(&s, NewState(listing.New(), nil))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		launch := func(id SessionID) *Entry {
			e := &Entry{Session: id, Serial: 1, Body: new(Status)}
			go l.Append(ctx, e) // nothing comes back but what is settled
			synctest.Wait()
			return e
		}
		first := launch(SessionID{Number: 1})
		for n := range uint64(windowSize + 10) {
			launch(SessionID{Number: n + 2})
		}
		if n := s.messages.Load(); n != windowSize {
			t.Errorf("%d entries are on their way", n)
		}
		launch(SessionID{})
		if n := s.messages.Load(); n != windowSize+1 {
			t.Error("the scoutmaster's own entry waits")
		}
		l.settle(first, nil)
		l.settle(first, nil) // it has come twice
		synctest.Wait()
		if n := s.messages.Load(); n != windowSize+2 {
			t.Errorf("%d more entries go when one has come back", int(n)-windowSize-1)
		}
		cancel()
		synctest.Wait()
		if len(l.window) != 0 || len(l.waiting) != 0 {
			t.Errorf("%d and %d entries are said to be on their way", len(l.window), len(l.waiting))
		}
	})
}
