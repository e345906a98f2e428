package master

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
)

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

// While the scoutmasters of a fleet get a longer heartbeat and deadline in turn, none is
// taken for lost that lives, and one that has died is lost after its own deadline.
func TestAScoutmasterWithALongerDeadline(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		const longer = 8
		slow := f.startAs("slow", func(s *Sharing) {
			s.Heartbeat, s.Deadline, s.CutOff = longer*testHeartbeat, longer*testDeadline, longer*testCutOff
		})
		f.await("it is ready", func() bool { return slow.Ready() == nil })
		slow.arrive("a").show("x")
		f.agree("x")
		time.Sleep(10 * longer * testDeadline)
		for _, m := range f.masters {
			if n := m.logs.FilterMessage("scoutmaster lost").Len(); n > 0 {
				t.Errorf("%s has lost %d scoutmasters that live", m.Registry.fleet.Name, n)
			}
		}
		slow.kill()
		took := f.await("the loss is noticed", func() bool { return f.masters[0].logs.FilterMessage("scoutmaster lost").Len() > 0 })
		if took < (longer-1)*testDeadline || took > (longer+1)*testDeadline {
			t.Errorf("the loss was noticed after %v", took)
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
