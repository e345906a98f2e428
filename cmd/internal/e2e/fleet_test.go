//go:build linux

package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// A scoutmaster is killed. Its scouts go elsewhere, nothing leaves the list
// meanwhile, and its successor has the list as soon as it is ready.
func TestFleetKilledScoutmaster(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 3, 50)
	victim := f.home(scouts[0])
	moving := f.homed(victim, scouts)
	h, from := f.hop(scouts...), f.logged()
	h.isAway(victim)
	f.kill(victim)
	f.moved(moving)
	for _, s := range moving {
		await(t, s.Process, "master lost")
	}
	f.lost(victim, from, "silent past deadline")
	time.Sleep(2 * fleetDeadline) // what has not moved would be dropped
	for _, s := range scouts {
		write(t, s.dir, "made after the death")
	}
	f.agree(scouts...)

	from = f.logged()
	f.start(victim)
	converges(t, f.masters[victim], scouts...)
	h.isBack(victim)
	for i, m := range f.masters {
		if i != victim {
			awaitFrom(t, m.Process, from[i], "scoutmaster joined")
		}
	}
	f.agree(scouts...)
	h.done()
	sentOnce(t, scouts)
}

// sentOnce checks that scouts have not sent their files again.
func sentOnce(t *testing.T, scouts []*scout) {
	t.Helper()
	for _, s := range scouts {
		if n := len(s.Logged(0, "snapshot sent")); n != 1 {
			t.Errorf("%s has sent %d snapshots, and has registered %d times", s.host, n, len(s.Logged(0, "registered")))
		}
	}
}

// A scoutmaster is frozen past the deadline. It is lost like a dead one, and
// when it thaws it learns that, and is one of the fleet again.
func TestFleetFrozenScoutmaster(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 3, 50)
	victim := f.home(scouts[0])
	h, from := f.hop(scouts...), f.logged()
	h.isAway(victim)
	must(t, f.masters[victim].Pause())
	f.running[victim] = false
	f.lost(victim, from, "silent past deadline")
	time.Sleep(2 * fleetDeadline)
	for _, s := range scouts {
		write(t, s.dir, "made while it was frozen")
	}
	f.agree(scouts...)
	must(t, f.masters[victim].Continue())
	f.running[victim] = true
	f.agree(scouts...)
	f.ready(victim)
	h.isBack(victim)
	write(t, scouts[0].dir, "made after it has thawed")
	f.agree(scouts...)
	h.done()
	sentOnce(t, scouts)
}

// A scoutmaster is stopped. Its scouts are told to go elsewhere.
func TestFleetStoppedScoutmaster(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 2, 50)
	victim := f.home(scouts[0])
	moving := f.homed(victim, scouts)
	h, from := f.hop(scouts...), f.logged()
	h.isAway(victim)
	f.stop(victim)
	f.lost(victim, from, "scoutmaster stopping")
	for _, s := range moving {
		awaitReason(t, s.Process, "master lost", "NOT_SERVING: this scoutmaster is stopping")
	}
	time.Sleep(2*fleetDeadline + fleetHeartbeat)
	f.agree(scouts...)
	h.done()
	sentOnce(t, scouts)
}

// All scoutmasters are upgraded, one after the other. Readers of those that are
// ready notice nothing.
func TestFleetRollingUpgrade(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 3, 50)
	h := f.hop(scouts...)
	for i := range f.masters {
		h.isAway(i)
		f.stop(i)
		write(t, scouts[0].dir, fmt.Sprint("made while a scoutmaster was away: ", i))
		f.start(i)
		h.isBack(i)
	}
	f.agree(scouts...)
	h.done()
	sentOnce(t, scouts)
	for _, m := range f.masters {
		for _, e := range m.Logged(0, "scout dropped") {
			if e.Text("reason") != "scoutmaster stopping" && e.Text("reason") != "replaced" {
				t.Errorf("%v", e)
			}
		}
	}
}

// A scoutmaster is cut off from NATS, but not from its scouts and readers. It
// says so and sends its scouts elsewhere, where they are listed again.
func TestFleetCutOffScoutmaster(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3)
	way := newProxy(t, f.Servers[0].Address())
	f.launch(f.MasterCommand(0, "-nats", way.Address()), 0)
	f.start(1)
	f.start(2)
	f.ready(0)
	scouts := f.startScouts(50)
	f.agree(scouts...)
	moving := f.homed(0, scouts)
	staying := slices.DeleteFunc(slices.Clone(scouts), func(s *scout) bool { return slices.Contains(moving, s) })
	h, from := f.hop(staying...), f.logged()
	h.isAway(0)
	way.Set(testfleet.Condition{Silent: true, Deaf: true})
	f.lost(0, from, "silent past deadline")
	f.isCutOff(0, from[0])
	for _, s := range moving {
		awaitReason(t, s.Process, "master lost", "NOT_SERVING: nothing comes through the log of this scoutmaster")
	}
	f.running[0] = false
	f.agree(scouts...)
	way.Set(testfleet.Condition{})
	f.running[0] = true
	awaitFrom(t, f.masters[0].Process, from[0]+1, "caught up")
	f.ready(0)
	write(t, scouts[0].dir, "made after it is back")
	f.agree(scouts...)
	h.isBack(0)
	h.done()
}

// A whole machine is cut off, with a scoutmaster and its scout. The others drop
// the scout's files at twice the deadline, and list them again when it is back.
func TestFleetCutOffMachine(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t)
	f := newFleetWith(t, testfleet.FleetConfig{Servers: 1, Masters: 3, NATSOpen: true})
	inside := f.MasterCommand(0, "-insecure", "-grpc", ns.There+":3000", "-http", ns.There+":3001",
		"-nats", "nats://"+ns.Here+":"+port(f.Servers[0].Address()))
	f.launch(inNamespace(ns, inside), 0)
	f.start(1)
	f.start(2)
	f.ready(0)
	dir := tempDir(t)
	fill(t, dir, 50)
	moved := launchScout(t, inNamespace(ns, scoutCommand(ns.There+":3000", "inside", dir, "-insecure")), "inside", dir)
	await(t, moved.Process, "registered")
	dir = tempDir(t)
	fill(t, dir, 50)
	stays := launchScout(t, scoutCommand(f.Address(1)+","+f.Address(2), "outside", dir), "outside", dir)
	f.agree(moved, stays)

	h, from := f.hop(stays), f.logged()
	h.isAway(0)
	began := time.Now()
	must(t, ns.Set(testfleet.Condition{Silent: true, Deaf: true}))
	f.lost(0, from, "silent past deadline")
	awaitAbsent(t, f.masters[1], moved)
	if took := time.Since(began); took < 2*fleetDeadline-2*fleetHeartbeat {
		t.Errorf("its files were dropped after %s", took)
	}
	awaitFrom(t, f.masters[0].Process, from[0], "cut off")
	must(t, ns.Set(testfleet.Condition{}))
	awaitFrom(t, f.masters[0].Process, from[0]+1, "caught up")
	f.agree(moved, stays)
	h.done()
}

// A scoutmaster hears the log, and not what the others ask of it. The list is
// whole, and a read barrier names the scouts that it could not ask.
func TestFleetDeafScoutmaster(t *testing.T) {
	t.Parallel()
	f := newFleetWith(t, testfleet.FleetConfig{Servers: 1, Masters: 2, NATSLines: []string{`authorization { users: [
		{ user: all, password: p }
		{ user: deaf, password: p, permissions: { subscribe: { deny: "scout.scout.to.>" } } }
	] }`}})
	for i, user := range []string{"deaf", "all"} {
		f.launch(f.MasterCommand(i, "-nats", "nats://"+user+":p@"+f.Servers[0].Address()), i)
		f.ready(i)
	}
	scouts := f.startScouts(10)
	f.agree(scouts...)
	for i, m := range f.masters {
		want := map[string]string{}
		if i == 1 {
			for _, s := range f.homed(0, scouts) {
				want[s.host] = `its scoutmaster "` + f.Name(0) + `" did not answer`
			}
			want[f.Name(0)] = "it did not answer"
		}
		m.names(t, "fresh=2s", want)
	}
	f.agree(scouts...)
}

// Of two scouts of one host and directory that come to two scoutmasters in the
// same moment one is accepted.
func TestFleetTwins(t *testing.T) {
	t.Parallel()
	needRoot(t)
	f := startFleet(t, 1, 2)
	for round := range 3 {
		where, dirs := tempDir(t), []string{tempDir(t), tempDir(t)}
		var twins []*testfleet.Process
		for i, dir := range dirs {
			write(t, dir, fmt.Sprint("of ", i))
			twins = append(twins, launch(t, twinOf(f.Address(i), dir, where)))
		}
		var refused int
		within(t, patience, func() error {
			for i, p := range twins {
				if p.Ended() {
					refused = i
					return nil
				}
			}
			return errors.New("both run")
		})
		holder := await(t, twins[1-refused], "registered").Text("session")
		if e := failure(t, twins[refused]); !strings.Contains(e.Text("error"), holder) {
			t.Errorf("round %d: %q does not name the holder %s", round, e.Text("error"), holder)
		}
		await(t, f.masters[refused].Process, "registration refused")
		for _, m := range f.masters {
			awaitList(t, m, "twin", where, fmt.Sprint("of ", 1-refused))
		}
		expectExit(t, twins[1-refused], syscall.SIGTERM, soon)
	}
}

// The holder of a host and directory died together with its scoutmaster. Its
// successor replaces it at once, long before the dead scoutmaster is lost.
func TestFleetStaleHolderOfADeadScoutmaster(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 2, "-deadline", "20s", "-cut-off", "30s")
	dir := dirOf(t, "x")
	first := startScoutAt(t, f.Address(0), "h", dir)
	f.agree(first)
	f.kill(0)
	kill(t, first.Process)
	write(t, dir, "y")
	began := time.Now()
	second := startScoutAt(t, f.Address(1), "h", dir)
	if took := time.Since(began); took > soon {
		t.Errorf("it was accepted after %s", took)
	}
	f.agree(second)
}

// A scout dies while it moves. Its files stay until twice the deadline, and no
// longer.
func TestFleetScoutDiesWhileItMoves(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 3, 50)
	victim := f.home(scouts[0])
	dead := f.homed(victim, scouts)
	alive := slices.DeleteFunc(slices.Clone(scouts), func(s *scout) bool { return slices.Contains(dead, s) })
	h := f.hop(scouts...)
	h.isAway(victim)
	for _, s := range dead {
		must(t, s.Pause()) // it must not move before it dies
	}
	f.kill(victim)
	began := time.Now()
	for _, s := range dead {
		kill(t, s.Process)
	}
	time.Sleep(2*fleetDeadline - 2*fleetHeartbeat - time.Since(began))
	h.set(func() {
		for _, s := range dead {
			delete(h.kept, s)
		}
	})
	f.agree(alive...)
	if took, most := time.Since(began), 2*fleetDeadline+soon; took > most {
		t.Errorf("the dead are gone after %s", took)
	}
	h.done()
}

// A scoutmaster whose connection to NATS is too slow falls behind. It delays nobody,
// says first that it lags and then that it is cut off, and catches up.
func TestFleetSlowScoutmaster(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 2)
	way := newProxy(t, f.Servers[0].Address())
	f.launch(f.MasterCommand(0, "-nats", way.Address()), 0)
	f.start(1)
	f.ready(0)
	dir := tempDir(t)
	fill(t, dir, 10)
	s := startScoutAt(t, f.Address(1), "h", dir)
	f.agree(s)
	from := f.logged()
	const rate, messageSize = 32 << 10, 1 << 10
	way.Set(testfleet.Condition{Rate: rate})
	f.running[0] = false
	says := f.masters[0].watchReadiness(t)
	// How fast this machine makes files is no matter: what the connection carries for
	// long enough is in the log at once.
	js := f.jetStream(0)
	for range 2 * fleetCutOff * rate / time.Second / messageSize {
		_, err := js.PublishAsync("scout.scout.log", make([]byte, messageSize))
		must(t, err)
	}
	for made := 0; len(f.masters[0].Logged(from[0], "cut off")) == 0; made++ {
		if made > 10_000 {
			t.Fatalf("it is never cut off: %s", f.masters[0].Tail())
		}
		write(t, dir, fmt.Sprint("made while another scoutmaster lags ", made))
		if took := converges(t, f.masters[1], s); took > soon {
			t.Errorf("another scoutmaster was delayed by %s", took)
		}
	}
	f.isCutOff(0, from[0])
	if said := says(); len(said) < 2 || said[0] != "ready" || said[1] != "/problems/behind" || slices.Contains(said[1:], "ready") {
		t.Errorf("/readyz said, in this order, %q", said)
	}
	if n := len(f.masters[0].Logged(from[0], "behind")); n != 1 {
		t.Errorf("it logged %d times that it lags", n)
	}
	way.Set(testfleet.Condition{})
	f.running[0] = true
	awaitFrom(t, f.masters[0].Process, from[0]+1, "caught up")
	f.agree(s)
}

// watchReadiness follows what a scoutmaster answers to /readyz. The function that it
// returns ends that, and returns the answers: "ready" or the type of a problem, each
// that differs from the one before.
func (m *master) watchReadiness(t *testing.T) func() []string {
	t.Helper()
	var said []string
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if now := m.readiness(); len(said) == 0 || said[len(said)-1] != now {
				said = append(said, now)
			}
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() []string {
		close(stop)
		<-ended
		return said
	}
}

// readiness returns "ready", the type of the problem that a scoutmaster has, or why it
// does not answer.
func (m *master) readiness() string {
	r, err := client.Get("http://" + m.HTTP + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	var problem struct{ Type string }
	if r.StatusCode == http.StatusOK {
		return "ready"
	}
	if err := json.NewDecoder(r.Body).Decode(&problem); err != nil {
		return err.Error()
	}
	return problem.Type
}

// A reader goes to another scoutmaster with each request. A page walk goes on, a
// long poll is answered, and a watcher resumes with nothing missed or told twice.
func TestFleetReaderHops(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 1, 3, 40)
	h := f.hop(scouts...)

	total, next := 0, ""
	for page := 0; page == 0 || next != ""; page++ {
		path := "/files?limit=7"
		if next != "" {
			path += "&after=" + url.QueryEscape(next)
		}
		body, err := f.masters[page%3].Get(path)
		must(t, err)
		var list struct {
			Files []testfleet.Entry
			Next  string
		}
		must(t, json.Unmarshal(body, &list))
		total += len(list.Files)
		next = list.Next
	}
	if want := 40 * len(scouts); total != want {
		t.Errorf("a walk over the pages had %d entries, not %d", total, want)
	}

	_, tag, err := f.masters[0].ask("/files", "")
	must(t, err)
	for i := range 6 {
		ended := make(chan error, 1)
		began := time.Now()
		go func() {
			status, now, err := f.masters[(i+1)%3].ask("/files?wait=20s", tag)
			if err == nil && (status != http.StatusOK || now == tag) {
				err = fmt.Errorf("a long poll: %d, %s after %s", status, now, tag)
			}
			tag = now
			ended <- err
		}()
		write(t, scouts[i%len(scouts)].dir, fmt.Sprint("for the long poll ", i))
		must(t, <-ended)
		if took := time.Since(began); took > soon {
			t.Errorf("a long poll took %s", took)
		}
	}

	w := follow(t, f.masters[0], "", "")
	f.agree(scouts...)
	want := 40*len(scouts) + 6
	for i := range 6 {
		w.await(t, "all files", func() bool { return len(w.list) == want })
		w.end()
		w.await(t, "the end", func() bool { return w.ended })
		write(t, scouts[0].dir, fmt.Sprint("while nobody watches ", i))
		want++
		list, last := maps.Clone(w.list), w.last
		w = follow(t, f.masters[(i+1)%3], "", last)
		w.note(func() { // what has come already is in both
			for name := range list {
				w.list[name] = true
			}
		})
		w.await(t, "what was missed", func() bool { return len(w.list) == want })
		w.check(t, "the watcher has resumed", func() bool { return slices.Equal(w.kinds, []string{"add"}) })
	}
	h.done()
}

// A read barrier has the scouts of all scoutmasters look, and each scoutmaster says
// who the others are.
func TestFleetKnowsAll(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 3)
	scouts := f.startScouts(10)
	deaf := tempDir(t)
	scouts = append(scouts, launchScout(t, deafen(scoutCommand(f.Addresses(), "deaf", deaf)), "deaf", deaf))
	await(t, scouts[len(scouts)-1].Process, "registered")
	f.agree(scouts...)
	for i, m := range f.masters {
		name := fmt.Sprint("without a notification ", i)
		write(t, deaf, name)
		entries, unconfirmed, err := m.fresh("fresh=10s")
		must(t, err)
		if !slices.Contains(testfleet.Names(entries, "deaf", deaf), name) || len(unconfirmed) > 0 {
			t.Errorf("%s: a fresh list lacks %q, or names %v", f.Name(i), name, unconfirmed)
		}
	}
	from := f.logged()
	f.kill(2)
	f.lost(2, from, "silent past deadline")
	for i, m := range f.masters[:2] {
		var fleet struct {
			Scouts       []struct{ Host, Scoutmaster string }
			Scoutmasters []struct {
				Name, URL, State, Version string
				Scouts, Revision          int
			}
		}
		within(t, patience, func() error {
			body, err := m.Get("/scouts")
			if err != nil {
				return err
			}
			if err := json.Unmarshal(body, &fleet); err != nil {
				return err
			}
			for _, s := range fleet.Scouts {
				if s.Scoutmaster == f.Name(2) {
					return fmt.Errorf("%s is still at %s", s.Host, s.Scoutmaster)
				}
			}
			for _, known := range fleet.Scoutmasters {
				if known.Name == f.Name(2) && known.State != "gone" {
					return fmt.Errorf("it says %+v of one that is dead", known)
				}
			}
			return nil
		})
		held := 0
		for _, known := range fleet.Scoutmasters {
			if alive := known.Name != f.Name(2); alive != (known.State == "live") || alive && known.Revision == 0 ||
				!strings.HasPrefix(known.URL, "http://") || known.Version == "" {
				t.Errorf("%s says %+v", f.Name(i), known)
			}
			held += known.Scouts
		}
		if held != len(scouts) || len(fleet.Scouts) != len(scouts) {
			t.Errorf("%s says that scoutmasters have %d scouts: %+v", f.Name(i), held, fleet)
		}
	}
}

// The log is a small ring, and runs over a scoutmaster that is cut off for a
// moment, and over all that a newcomer would need. Both take the state of another.
func TestFleetRingOverruns(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, 3, "-log-bytes", "1MiB", "-deadline", "10s", "-cut-off", "30s")
	way := newProxy(t, f.Servers[0].Address())
	f.launch(f.MasterCommand(0, "-nats", way.Address()), 0)
	f.start(1)
	f.ready(0)
	dir := dirOf(t, "x")
	s := startScoutAt(t, f.Address(1), "h", dir)
	f.agree(s)
	from, before := f.logged(), f.stream().State.LastSeq
	way.Set(testfleet.Condition{Cut: true})
	f.running[0] = false
	for round := 0; f.stream().State.FirstSeq <= before+1; round++ {
		if round > 10 {
			t.Fatal("the ring does not overrun")
		}
		for i := range 3000 {
			write(t, dir, strings.Repeat(fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, round, i))), 3))
		}
		converges(t, f.masters[1], s)
	}
	way.Set(testfleet.Condition{})
	f.running[0] = true
	f.agree(s)
	awaitFrom(t, f.masters[0].Process, from[0], "caught up")
	f.start(2)
	write(t, dir, "y")
	f.agree(s)
	f.never("log rebuilt")
}

// A machine dies that has a scoutmaster and the NATS server that leads the
// log. The scouts cannot register anywhere until another server leads it, and nothing
// leaves the list meanwhile.
func TestFleetScoutmasterDiesWithTheLeader(t *testing.T) {
	t.Parallel()
	f, scouts := startListedFleet(t, 3, 3, 50, "-cut-off", "15s")
	victim := f.home(scouts[0])
	moving := f.homed(victim, scouts)
	h := f.hop(scouts...)
	h.set(func() { h.stalls = true })
	h.isAway(victim)
	f.Servers[f.leader()].Kill()
	f.kill(victim)
	f.moved(moving)
	time.Sleep(3 * fleetDeadline)
	for _, s := range scouts {
		write(t, s.dir, "made after the death")
	}
	f.agree(scouts...)
	h.done()
	sentOnce(t, scouts)
}
