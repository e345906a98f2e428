package master

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
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

// The files of a scoutmaster's scouts stay listed when it dies, until they have
// moved or twice the deadline has passed.
func TestADeadScoutmaster(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		f.masters[0].arrive("moves").show("moves", "too")
		f.masters[0].arrive("stays").show("stays")
		f.masters[1].arrive("elsewhere").show("elsewhere")
		f.agree("elsewhere", "moves", "stays", "too")
		f.masters[0].kill()
		died := time.Now()
		lost := func() bool { return f.masters[1].logs.FilterMessage("scoutmaster lost").Len() > 0 }
		f.await("the loss is noticed", lost)
		if took := time.Since(died); took < testDeadline-testHeartbeat || took > testDeadline+3*time.Second {
			t.Errorf("the loss was noticed after %v", took)
		}
		f.agree("elsewhere", "moves", "stays", "too")
		s := f.masters[1].arrive("moves")
		f.agree("elsewhere", "moves", "stays", "too")
		s.show("moves", "new")
		f.agree("elsewhere", "moves", "new", "stays")
		f.await("what has not moved is dropped", func() bool { return len(f.masters[2].names()) == 3 })
		if took := time.Since(died); took < 2*testDeadline-testHeartbeat || took > 2*testDeadline+3*testHeartbeat {
			t.Errorf("it was dropped after %v", took)
		}
		f.agree("elsewhere", "moves", "new")
		if n := f.masters[2].Counts().Fleet.Scouts[roster.Gone]; n != 1 {
			t.Errorf("%d scouts are gone", n)
		}
	})
}

// A scout whose scoutmaster has died is let in elsewhere at once.
func TestTheSessionOfADeadScoutmasterIsStale(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		f.masters[0].arrive("moves").show("x")
		f.agree("x")
		f.masters[0].kill()
		began := time.Now()
		f.masters[1].arrive("moves").show("y")
		if took := time.Since(began); took > time.Second {
			t.Errorf("it was let in after %v", took)
		}
		f.agree("y")
		if n := f.ring.registrations("moves"); n != 2 {
			t.Errorf("%d entries have registered it at two scoutmasters", n)
		}
	})
}

// A scoutmaster that was taken for lost, and lives, ends its sessions and begins
// anew; nothing that it still says counts.
func TestAFrozenScoutmasterThaws(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		frozen := f.masters[0]
		s := frozen.arrive("moves").show("x")
		f.agree("x")
		frozen.line.setCut(true)
		late := make(chan error, 1)
		go func() {
			late <- s.Apply(files.Delta{Removed: filestest.Set(), Added: filestest.Set("late")}, stream.Arrival{Revision: 2})
		}()
		f.await("it is lost", func() bool { return f.masters[1].logs.FilterMessage("scoutmaster lost").Len() > 0 })
		f.masters[1].arrive("moves").show("y")
		frozen.line.setCut(false)
		f.agree("y")
		if err := <-late; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		f.await("it begins anew", func() bool { return s.evicted.Load() != nil })
		s.Leave(stream.LeftReplaced)
		frozen.arrive("again").show("z")
		f.agree("y", "z")
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

// A scoutmaster that does not know a kind of entry stands aside, and the others
// count it as lost.
func TestAnEntryOfAnotherVersion(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		m, other := f.masters[0], f.masters[1]
		s := m.arrive("a").show("x")
		f.agree("x")
		other.kill() // it has another version, and m has not
		epoch, _ := m.self()
		message, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 8), &scoutv1.LogEntry{
			Epoch: epoch, Instance: uint64(other.life.instance), Serial: m.state.serialOf(other.life.instance) + 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint64(message, xxhash.Sum64(message[8:]))
		f.ring.append(message)
		f.await("it stands aside", func() bool { return m.Ready() != nil })
		if !strings.Contains(m.Ready().Error(), "a kind that this version does not know") {
			t.Errorf("it is not ready because %v", m.Ready())
		}
		if s.evicted.Load() == nil {
			t.Error("its scout was not sent elsewhere")
		}
		if m.logs.FilterMessage("cut off").Len() != 1 {
			t.Error("it was not logged")
		}
		epoch, _ = m.state.where()
		f.await("it begins another epoch, as nobody else lives", func() bool {
			now, _ := m.state.where()
			return m.Ready() == nil && now > epoch
		})
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

// A newcomer, and one that was overrun, take the state from another.
func TestALogThatForgets(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		s := f.masters[0].arrive("a").show("x")
		f.agree("x")
		begun := f.ring.begun()
		f.ring.drop(1)
		f.transfer.Store(int64(3 * testHeartbeat))
		newcomer := f.start()
		f.await("it is ready", func() bool { return newcomer.Ready() == nil })
		f.transfer.Store(0)
		f.agree("x")
		if n := f.ring.begun(); n > begun {
			t.Errorf("the newcomer has begun %d epochs", n-begun)
		}
		newcomer.line.setCut(true)
		for i := range 10 {
			s.show("x", fmt.Sprint("y", i))
		}
		f.ring.drop(3)
		newcomer.line.setCut(false)
		f.agree("x", "y9")
		newcomer.arrive("b").show("z")
		f.agree("x", "y9", "z")
	})
}

// When the log is lost a new epoch begins, and scouts come again.
func TestALogThatIsMadeAnew(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		s := f.masters[0].arrive("a").show("x")
		f.agree("x")
		before := f.masters[0].state.list.Current()
		f.ring.renew()
		f.await("there is a new epoch", func() bool {
			return f.all(func(m *testMaster) bool { return m.state.list.Current().Epoch > before.Epoch && m.Ready() == nil })
		})
		f.agree()
		if s.evicted.Load() == nil {
			t.Error("the scout was not told to come again")
		}
		f.masters[1].arrive("a").show("x")
		f.agree("x")
	})
}

// When all scoutmasters have died a new one begins an epoch of its own.
func TestAFleetThatHasDied(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		f.masters[0].arrive("a").show("x")
		f.agree("x")
		f.masters[0].kill()
		f.masters[1].kill()
		before := f.masters[0].state.list.Current().Epoch
		f.ring.drop(2)
		m := f.start()
		f.await("it is ready", func() bool { return m.Ready() == nil })
		if v := m.state.list.Current(); v.Epoch <= before || v.Len != 0 {
			t.Errorf("epoch %d after %d, %d names", v.Epoch, before, v.Len)
		}
		m.arrive("a").show("y")
		f.agree("y")
	})
}

// A scoutmaster that hears nothing through the log says so, ends its sessions, and
// is back by itself.
func TestCutOff(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		m := f.masters[0]
		s := m.arrive("a").show("x")
		f.agree("x")
		m.line.setCut(true)
		changed := m.ReadyChanged()
		took := f.await("it is cut off", func() bool { return errors.Is(m.Ready(), ErrCutOff) })
		if took < testCutOff-testHeartbeat || took > testCutOff+appendTimeout+testHeartbeat {
			t.Errorf("it was cut off after %v", took)
		}
		if !isClosed(changed) {
			t.Error("who waits for that is not told")
		}
		if got := s.evicted.Load(); got != "dismissed: nothing comes through the log of this scoutmaster" {
			t.Errorf("its scout was told %v", got)
		}
		if _, err := m.tryArrive("b"); !errors.Is(err, ErrCutOff) {
			t.Errorf("a scout is let in: %v", err)
		}
		if m.logs.FilterMessage("cut off").Len() != 1 {
			t.Error("it was not logged")
		}
		changed = m.ReadyChanged()
		m.line.setCut(false)
		f.await("it is back", func() bool { return m.Ready() == nil })
		if !isClosed(changed) {
			t.Error("who waits until it is back is not told")
		}
		if m.logs.FilterMessage("caught up").Len() != 2 { // at the start, and now
			t.Error("that it is back was not logged")
		}
		f.agree()
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

// A scoutmaster that dies while the log stands still leaves its scouts as much time
// as ever, once the log goes on.
func TestADeathWhileTheLogStandsStill(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		f.masters[0].arrive("stays").show("stays")
		f.masters[0].arrive("moves").show("moves")
		f.agree("moves", "stays")
		f.masters[0].kill()
		time.Sleep(2 * testHeartbeat)
		for _, m := range f.list()[1:] {
			m.line.setCut(true)
		}
		time.Sleep(3 * testDeadline)
		for _, m := range f.list()[1:] {
			m.line.setCut(false)
		}
		resumed := time.Now()
		time.Sleep(2*testDeadline - 5*testHeartbeat)
		f.agree("moves", "stays")
		f.masters[2].arrive("moves")
		f.await("what has not moved is dropped", func() bool { return len(f.masters[1].names()) == 1 })
		if took := time.Since(resumed); took > 2*testDeadline+3*testHeartbeat {
			t.Errorf("it was dropped after %v", took)
		}
		f.agree("moves")
	})
}

// When all scoutmasters were cut off, and have ended their sessions, the scouts that
// come back go on with what is listed.
func TestAllCutOff(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		s := f.masters[0].arrive("a").show("x")
		s.leave = func() { s.Leave(stream.LeftStopping) }
		f.agree("x")
		for _, m := range f.list() {
			m.line.setCut(true)
		}
		f.await("all are cut off", func() bool { return f.all(func(m *testMaster) bool { return errors.Is(m.Ready(), ErrCutOff) }) })
		for _, m := range f.list() {
			m.line.setCut(false)
		}
		f.await("all are back", func() bool { return f.all(func(m *testMaster) bool { return m.Ready() == nil }) })
		f.agree("x")
		again := f.masters[1].arriveWith("a", "x")
		if again.Kept() == nil {
			t.Error("nothing is kept")
		}
		time.Sleep(3 * testDeadline)
		f.agree("x")
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

// A log that stands still for longer than the deadline, and shorter than the
// cut-off, costs nobody anything.
func TestALogThatStandsStill(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		s := f.masters[0].arrive("a").show("x")
		f.agree("x")
		for _, m := range f.list() {
			m.line.setCut(true)
		}
		time.Sleep(3 * testDeadline)
		for _, m := range f.list() {
			m.line.setCut(false)
		}
		f.agree("x")
		time.Sleep(3 * testDeadline)
		f.agree("x")
		if s.evicted.Load() != nil {
			t.Errorf("the scout was evicted: %s", s.evicted.Load())
		}
		if f.logged("behind") > 0 {
			t.Error("a scoutmaster says that it lags")
		}
		s.show("y")
		f.agree("y")
	})
}

// A scoutmaster that lags behind the log by more than the deadline says so, is not
// ready, and delays nobody. Its scouts go elsewhere when it reads that it was taken for
// lost. One that lags less serves.
func TestAScoutmasterThatLags(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		m, other := f.masters[0], f.masters[1]
		s := m.arrive("a").show("x")
		f.agree("x")
		m.line.late.Store(int64(testDeadline * 3 / 4))
		for range 60 {
			time.Sleep(testHeartbeat)
			if err := m.Ready(); err != nil {
				t.Fatalf("it lags less than the deadline: %v", err)
			}
		}

		lag := testDeadline + 4*testHeartbeat
		changed := m.ReadyChanged()
		took := f.await("it is not ready", func() bool {
			m.line.late.Store(min(int64(lag), m.line.late.Load()+int64(5*time.Millisecond))) // in each 10 ms
			return m.Ready() != nil
		})
		if !errors.Is(m.Ready(), ErrBehind) || took > 2*lag {
			t.Errorf("after %v: %v", took, m.Ready())
		}
		if !isClosed(changed) {
			t.Error("who waits for that is not told")
		}
		if _, err := m.tryArrive("b"); !errors.Is(err, ErrBehind) {
			t.Errorf("a scout is let in: %v", err)
		}
		for i := range 60 {
			time.Sleep(testHeartbeat)
			if m.Ready() == nil {
				t.Fatal("it lags, and is ready")
			}
			c := other.arrive(fmt.Sprint("c", i))
			c.show("y")
			if took := f.await("another lists what comes", func() bool { return slices.Contains(other.names(), "y") }); took > 100*time.Millisecond {
				t.Errorf("another scoutmaster is delayed by %v", took)
			}
			c.Leave(stream.LeftDeregistered)
		}
		if n := f.logged("behind"); n != 1 {
			t.Errorf("it was logged %d times", n)
		}
		if c := m.Counts(); c.CutOff || c.Lag < lag || other.Ready() != nil {
			t.Errorf("%v, %v", c, other.Ready())
		}

		changed = m.ReadyChanged()
		m.line.late.Store(0)
		if took := f.await("it is back", func() bool { return m.Ready() == nil }); took > 3*testHeartbeat {
			t.Errorf("it was back after %v", took)
		}
		if !isClosed(changed) || m.logs.FilterMessage("caught up").Len() != 2 {
			t.Error("that it is back was not said")
		}
		if got := s.evicted.Load(); got != "dismissed: this scoutmaster was taken for lost" {
			t.Errorf("its scout was told %v", got)
		}
		f.agree()
	})
}

// logged counts the lines of all scoutmasters with a message.
func (f *testFleet) logged(msg string) (n int) {
	for _, m := range f.list() {
		n += m.logs.FilterMessage(msg).Len()
	}
	return n
}

// What was lost while the log stood still is in it within a heartbeat after it goes
// on.
func TestALogThatGoesOn(t *testing.T) {
	for _, large := range []bool{false, true} {
		inVirtualTime(t, 3, func(f *testFleet) {
			s := f.masters[0].arrive("a").show("x")
			f.agree("x")
			for _, m := range f.list() {
				m.line.setCut(true)
			}
			began, listed := time.Now(), make(chan time.Time, 1)
			names := []string{"y"}
			if large {
				for i := range 20_000 {
					names = append(names, fmt.Sprintf("y/%032d", i*i))
				}
				slices.Sort(names)
			}
			go func() {
				s.show(names...)
				listed <- time.Now()
			}()
			time.Sleep(2*appendTimeout + appendTimeout/20)
			for _, m := range f.list() {
				m.line.lose()
				m.line.setCut(false)
			}
			goesOn := time.Now()
			at := <-listed
			if took := at.Sub(goesOn); took > testHeartbeat+50*latency {
				t.Errorf("after %v without the log it took %v", goesOn.Sub(began), took)
			}
			f.agree(names...)
		})
	}
}

// corrupt adds a name to what a scoutmaster lists of a scout.
func (m *testMaster) corrupt(host string) {
	s := m.state
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.holders[files.Origin{Host: host, Directory: home.Directory}]
	tx := s.list.Begin()
	defer tx.Commit()
	wrong := filestest.Set("wrong")
	if _, err := tx.Change(x.source, files.Delta{Removed: filestest.Set(), Added: wrong}); err != nil {
		m.fleet.Fatal(err)
	}
	s.setSource(x, x.source, Shown{x.names.Count + 1, x.names.Digest + wrong.Digest()})
	s.digests.note(s.position, s.digest)
}

// byInstance returns the scoutmasters in the order of their instances.
func (f *testFleet) byInstance() []*testMaster {
	masters := f.list()
	slices.SortFunc(masters, func(a, b *testMaster) int { return cmp.Compare(a.life.instance, b.life.instance) })
	return masters
}

// A scoutmaster whose list differs from those of most others takes the state of
// another, and is equal again. The others go on.
func TestAListThatStrays(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		strays, other := f.byInstance()[0], f.byInstance()[2]
		s := other.arrive("a").show("x")
		f.agree("x")
		epoch := other.state.list.Current().Epoch
		strays.corrupt("a")
		f.await("it is right again", func() bool { return slices.Equal(strays.names(), []string{"x"}) })
		f.await("it is ready", func() bool { return strays.Ready() == nil })
		strays.arrive("b").show("y")
		f.agree("x", "y")
		if s.evicted.Load() != nil || other.state.list.Current().Epoch != epoch {
			t.Errorf("the others were disturbed: %v", s.evicted.Load())
		}
	})
}

// Lists that differ again and again are a reason for another epoch, but not for
// one after the other.
func TestListsThatStrayAgain(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		rebuilt := func() (n int) {
			for _, m := range f.list() {
				n += m.logs.FilterMessage("log rebuilt").FilterField(zap.String("reason", "the lists of several scoutmasters differ")).Len()
			}
			return n
		}
		for i := range 40 {
			time.Sleep(10 * time.Second)
			host := fmt.Sprint("host-", i)
			f.byInstance()[1].arrive(host).show("x")
			f.await("it is listed", func() bool { return len(f.byInstance()[0].names()) > 0 })
			f.byInstance()[0].corrupt(host)
			time.Sleep(5 * testHeartbeat)
			f.await("the lists are equal again", func() bool {
				names := f.masters[0].names()
				return f.all(func(m *testMaster) bool { return m.Ready() == nil && slices.Equal(m.names(), names) })
			})
			if i < 10 && rebuilt() > 0 {
				t.Fatalf("the log was rebuilt after %d times", i)
			}
		}
		if n := rebuilt(); n != 2 { // at both, once in 10 minutes
			t.Errorf("the log was rebuilt %d times", n)
		}
	})
}

// A scoutmaster that meets an entry of a kind that it does not know stands aside,
// and is back when it has a state that it understands.
func TestAScoutmasterThatIsTooOld(t *testing.T) {
	inVirtualTime(t, 3, func(f *testFleet) {
		old, young := f.masters[0], f.masters[1]
		s := old.arrive("moves").show("x")
		f.agree("x")
		epoch, id := young.self()
		message, err := proto.Marshal(&scoutv1.LogEntry{Epoch: epoch, Instance: uint64(id.Instance), Serial: 1 << 40})
		if err != nil {
			t.Fatal(err)
		}
		old.line.state.Lock()
		old.line.instead = append(binary.LittleEndian.AppendUint64(nil, xxhash.Sum64(message)), message...)
		old.line.state.Unlock()
		f.newer.Store(true)
		aside := func() bool { return old.Ready() != nil && strings.Contains(old.Ready().Error(), ErrUnknown.Error()) }
		f.await("it stands aside", aside)
		if got := s.evicted.Load(); got != "dismissed: "+ErrUnknown.Error() {
			t.Errorf("its scout was told %v", got)
		}
		if _, err := old.tryArrive("b"); err == nil {
			t.Error("a scout is let in")
		}
		young.arrive("moves").show("y")
		time.Sleep(5 * testDeadline)
		if !aside() || old.logs.FilterMessage("cut off").Len() != 1 {
			t.Errorf("it is ready: %v", old.Ready())
		}
		if names := f.masters[2].names(); !slices.Equal(names, []string{"y"}) {
			t.Errorf("the others list %q", names)
		}
		f.newer.Store(false)
		f.agree("y")
	})
}

// Messages of strangers are counted, logged a few times, and ignored.
func TestForeignMessages(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		m := f.masters[0]
		m.arrive("a").show("x")
		for range 100 {
			f.ring.append([]byte("hello, I am a stranger"))
		}
		m.arrive("b").show("y")
		f.agree("x", "y")
		if n := m.ForeignMessages(); n != 100 {
			t.Errorf("%d were counted", n)
		}
		if n := m.logs.FilterMessage("foreign message ignored").Len(); n != 1 {
			t.Errorf("%d were logged", n)
		}
	})
}

// A snapshot of many parts takes no round trip for each of them, and comes whole
// through a log that drops, doubles and delays.
func TestALargeSnapshot(t *testing.T) {
	var names []string
	for i := range 400_000 {
		names = append(names, fmt.Sprintf("directory-%04d/%x", i/100, i*7919)) // about 50 parts
	}
	slices.Sort(names)
	inVirtualTime(t, 2, func(f *testFleet) {
		s := f.masters[0].arrive("large")
		began := time.Now()
		s.show(names...)
		if took, parts := time.Since(began), len(f.ring.messages); took > 5*latency || parts < 40 {
			t.Errorf("%d messages took %v", parts, took)
		}
		f.masters[0].line.disturb(rand.New(rand.NewPCG(1, 2)))
		s.show(names[1:]...)
		f.masters[0].line.disturb(nil)
		f.agree(names[1:]...)
	})
}

// Over a log that drops, doubles and delays, scouts come and go at random, and
// scoutmasters are taken for lost. In the end every scout that has a session is
// listed, with what it shows, and no other.
func TestScoutsOverAFaultyLog(t *testing.T) {
	listed := 0
	for seed := range uint64(20) {
		inVirtualTime(t, 3, func(f *testFleet) {
			for i, m := range f.list() {
				m.line.disturb(rand.New(rand.NewPCG(seed, uint64(i))))
			}
			final := make([]*wanderer, 6)
			var scouts sync.WaitGroup
			for n := range final {
				scouts.Go(func() { final[n] = f.wander(n, rand.New(rand.NewPCG(seed, 100+uint64(n)))) })
			}
			scouts.Wait()
			for _, m := range f.list() {
				m.line.disturb(nil)
			}
			time.Sleep(10 * testDeadline)
			var names []string
			for _, w := range final {
				if w.evicted.Load() == nil {
					names = append(names, w.names...)
				}
			}
			listed += len(names)
			f.agree(slices.Sorted(slices.Values(names))...)
		})
	}
	if listed < 20 {
		t.Errorf("%d scouts had a session in the end", listed)
	}
}

func (l *line) disturb(faults *rand.Rand) {
	l.state.Lock()
	defer l.state.Unlock()
	l.faults = faults
}

// wanderer is a scout that registers here and there.
type wanderer struct {
	*testScout
	names []string // what it shows
}

// wander returns the scout when it has found its place.
func (f *testFleet) wander(n int, r *rand.Rand) *wanderer {
	for round := 0; ; round++ {
		masters := f.list()
		s, err := masters[r.IntN(len(masters))].tryArrive(fmt.Sprint("host-", n))
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		w := &wanderer{testScout: s}
		for i := range r.IntN(10) {
			if r.IntN(5) == 0 {
				s.Hide("away", 0)
			}
			w.names = []string{fmt.Sprintf("%d-%d-%d", n, round, i)}
			s.show(w.names...)
			time.Sleep(time.Duration(r.Int64N(int64(time.Second))))
		}
		if round > 3 && s.evicted.Load() == nil {
			return w
		}
		s.Leave([]stream.LeaveReason{stream.LeftDeregistered, stream.LeftBroken}[r.IntN(2)])
	}
}
