package master

import (
	"cmp"
	"encoding/binary"
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
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

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

// A scoutmaster that waits for the state of another, and sees an epoch begin meanwhile,
// goes on from there: it does not take the state that comes then, and begin anew.
func TestAnEpochBeginsBeforeAStateComes(t *testing.T) {
	for delay := 50 * time.Millisecond; delay < time.Second; delay += 50 * time.Millisecond {
		inVirtualTime(t, 2, func(f *testFleet) {
			f.masters[0].arrive("a").show("x")
			f.agree("x")
			f.transfer.Store(int64(delay))
			f.ring.renew()
			f.await("all are ready again", func() bool { return f.all(func(m *testMaster) bool { return m.Ready() == nil }) })
			time.Sleep(3 * testDeadline)
			for _, m := range f.masters {
				if lost := m.logs.FilterMessage("scoutmaster lost").Len(); lost > 0 {
					t.Errorf("after %v %s has lost %d scoutmasters that live", delay, m.Registry.fleet.Name, lost)
				}
			}
		})
	}
}

// An entry of an epoch that nobody is in, such as one of another fleet, does not stop a
// fleet for good: another epoch begins after it.
func TestAnEntryOfALaterEpoch(t *testing.T) {
	inVirtualTime(t, 2, func(f *testFleet) {
		f.masters[0].arrive("a").show("x")
		f.agree("x")
		epoch, _ := f.masters[0].self()
		later := epoch + uint64(time.Hour.Milliseconds())
		message, err := encode(&Entry{Epoch: later, Session: SessionID{Instance: 1}, Serial: 1, Body: &Tick{Name: "stranger"}})
		if err != nil {
			t.Fatal(err)
		}
		f.ring.append(message)
		took := f.await("an epoch begins after it", func() bool {
			return f.all(func(m *testMaster) bool { return m.state.list.Current().Epoch > later && m.Ready() == nil })
		})
		if took > 3*testDeadline {
			t.Errorf("that took %s", took)
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
