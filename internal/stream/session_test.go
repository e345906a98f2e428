package stream

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// A session of both real ends, from its start to its end.
func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a", "b"))
		synctest.Wait()
		c.directory.list("b", "c", "d")
		synctest.Wait()
		c.directory.list("b", "c", "d") // the same again, in another Set
		synctest.Wait()
		c.directory.cannot("vanished")
		synctest.Wait()
		c.directory.list("e")
		time.Sleep(time.Second)
		synctest.Wait()
		if err := c.leave(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		synctest.Wait()
		want := []string{"reset 1: a b", "apply 2: -1 +2", "hide vanished 0", "reset 3: e", "leave deregistered"}
		if got := m.registry.last().history(); !slices.Equal(got, want) {
			t.Errorf("the member was told %q, not %q", got, want)
		}
		if c.logs.count("snapshot sent") != 2 || c.logs.count("registered") != 1 {
			t.Errorf("the scout logged %v", c.logs.seen.All())
		}
	})
}

// An hour of beats, and nothing else.
func TestIdleHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		c := startScout(t, n, newDirectory("a"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := m.registry.joined(); got != 1 {
			t.Errorf("%d sessions", got)
		}
		if beats := m.registry.last().beats(); beats < 3590 {
			t.Errorf("%d beats in an hour", beats)
		}
		// A frame has 9 bytes, and a message 5 more. Nothing else is sent.
		if up, down := n.up.passed()/3600, n.down.passed()/3600; up > 9+5+20 || down > 9+5+4 {
			t.Errorf("%d bytes a second to the master, %d to the scout", up, down)
		}
		if lost := c.logs.count("master lost"); lost != 0 {
			t.Errorf("master lost %d times", lost)
		}
	})
}

// An Update says as much as a Beat, which is left out after it, unless there is
// something else to say. The master hears the scout each heartbeat all the same.
func TestBeatsBesideUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		recorder := new(tally)
		m := startMaster(t, n, func(c *Config) { c.Recorder = recorder })
		dir := newDirectory("a")
		startScout(t, n, dir)
		time.Sleep(90 * time.Second)
		member := m.registry.last()
		before := member.beats()
		for i := range 400 { // 100 s
			time.Sleep(250 * time.Millisecond)
			dir.show(files.View{Set: setOf("a", fmt.Sprint("b", i))})
		}
		if beats := member.beats() - before; beats > 1 {
			t.Errorf("%d beats beside updates", beats)
		}
		for i := range 8 {
			time.Sleep(250 * time.Millisecond)
			dir.show(files.View{Set: setOf("a", fmt.Sprint("c", i)), Polled: 3})
		}
		if got := member.condition().Polled; got != 3 {
			t.Errorf("%d directories are said to be polled", got)
		}
		before = member.beats()
		time.Sleep(10 * time.Second)
		if beats := member.beats() - before; beats < 9 {
			t.Errorf("%d beats in ten quiet seconds", beats)
		}
		if missed := recorder.take()["missed"]; missed != 0 {
			t.Errorf("%d heartbeats were missed", missed)
		}
	})
}

// A snapshot that takes far longer than the deadline is not dropped meanwhile,
// and shows when it is whole; what changed meanwhile follows together.
func TestSlowSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory()
		dir.cannot("scanning")
		c := startScout(t, n, dir)
		synctest.Wait()
		n.up.limit(32_000)
		dir.show(files.View{Set: many(100_000)})
		synctest.Wait()
		began := time.Now()
		for i := range 50 {
			time.Sleep(100 * time.Millisecond)
			dir.list("new", fmt.Sprint("new", i))
		}
		for m.registry.last().shown() == nil && time.Since(began) < time.Hour {
			time.Sleep(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 5*deadline {
			t.Errorf("it took only %v", took)
		}
		time.Sleep(time.Minute)
		want := []string{"hide scanning 0", "reset 1: 100000 names", "apply 2: -100000 +2"}
		if got := m.registry.last().history(); !slices.Equal(got, want) {
			t.Errorf("the member was told %q", got)
		}
		if seconds := c.logs.field(t, "snapshot sent", "seconds").(float64); seconds < 5*deadline.Seconds() {
			t.Errorf("logged as %v s", seconds)
		}
	})
}

// A directory that vanishes while its snapshot is on its way is hidden at once.
func TestVanishesDuringSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory()
		dir.cannot("scanning")
		startScout(t, n, dir)
		synctest.Wait()
		n.up.limit(32_000)
		dir.show(files.View{Set: many(100_000)})
		time.Sleep(5 * time.Second)
		dir.cannot("vanished")
		time.Sleep(12 * time.Second) // some of it was on its way already
		dir.list("a")
		time.Sleep(time.Minute)
		want := []string{"hide scanning 0", "hide vanished 0", "reset 1: a"}
		if got := m.registry.last().history(); !slices.Equal(got, want) {
			t.Errorf("the member was told %q", got)
		}
	})
}

// One change in a large directory is one small message.
func TestChangeOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		before := many(100_000)
		dir := newDirectory()
		dir.show(files.View{Set: before})
		startScout(t, n, dir)
		synctest.Wait()
		after, err := before.Apply(files.Delta{Removed: setOf(), Added: setOf("directory-000500/some new file.log")})
		if err != nil {
			t.Fatal(err)
		}
		sent, heard := n.up.passed(), n.down.passed()
		dir.show(files.View{Set: after})
		synctest.Wait()
		if m.registry.last().shown().Len() != after.Len() {
			t.Fatal("not shown")
		}
		sent, heard = n.up.passed()-sent, n.down.passed()-heard
		if sent > 100 || heard > 40 {
			t.Errorf("%d bytes up, %d down", sent, heard)
		}
	})
}

// Whatever happens to a scout, its directory and the network, no rule is broken
// and no copy goes wrong, and the master shows the truth once things are calm.
func TestRandom(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testRandom(t, rand.New(rand.NewPCG(seed, 0))) })
		})
	}
}

func testRandom(t *testing.T, r *rand.Rand) {
	n := newNetwork(t)
	m := startMaster(t, n)
	dir := newDirectory()
	startScout(t, n, dir)
	synctest.Wait() // a first registration that fails would be its last
	names := map[string]bool{}
	steps := []func(){
		func() { names[fmt.Sprint(r.IntN(50))] = true },
		func() { delete(names, fmt.Sprint(r.IntN(50))) },
		func() {
			for range 10 {
				names[fmt.Sprint(r.IntN(50))] = r.IntN(2) == 0
			}
		},
		func() { dir.cannot("gone") },
		func() { time.Sleep(time.Duration(r.IntN(200)) * time.Millisecond) },
		func() { time.Sleep(time.Duration(r.IntN(5000)) * time.Millisecond) },
		func() { n.up.hold() },
		func() { n.down.hold() },
		func() { n.up.limit(1000) },
		func() { n.up.open(); n.down.open() },
		func() { n.up.open(); n.down.open() },
		func() { synctest.Wait() },
		func() {
			if member := m.registry.last(); member != nil {
				member.peer.Evict("replaced")
			}
		},
		func() {
			if member := m.registry.last(); member != nil {
				member.peer.Rescan()
			}
		},
		func() { dir.finding(time.Duration(r.IntN(3)) * time.Second) },
		func() {
			if r.IntN(5) == 0 {
				m.kill()
				m = startMaster(t, n)
			}
		},
	}
	for range 300 {
		steps[r.IntN(len(steps))]()
		if r.IntN(3) > 0 {
			dir.list(listed(names)...)
		}
	}
	dir.list(listed(names)...)
	n.up.open()
	n.down.open()
	time.Sleep(time.Minute)
	// Who had gone before it was let in may be the last to have come.
	live := m.registry.live()
	if len(live) != 1 {
		t.Fatalf("%d members are live: %v", len(live), m.logs.seen.All())
	}
	asked := live[0].peer.Rescan()
	time.Sleep(time.Minute)
	if !isClosed(asked) {
		t.Error("a look is not answered")
	}
	if shown := live[0].shown(); shown == nil || !slices.Equal(namesOf(shown), listed(names)) {
		t.Errorf("the master shows %v, not %q: it was told %q", shown, listed(names), live[0].history())
	}
	if got := m.logs.count("protocol violation") + m.logs.count("copy differs"); got != 0 {
		t.Errorf("the master complained: %v", m.logs.seen.FilterLevelExact(zap.WarnLevel).All())
	}
}

func listed(names map[string]bool) []string {
	list := []string{}
	for name, there := range names {
		if there {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// The age of a change is that of the oldest of what is told with it, also when
// it had to wait for a snapshot to be through.
func TestAgeOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		dir := newDirectory("a")
		startScout(t, n, dir)
		synctest.Wait()
		dir.list("b")
		synctest.Wait()
		if lag := m.registry.last().lagged(); lag != 0 {
			t.Errorf("a change that was told at once was %v on its way", lag)
		}

		dir.cannot("scanning")
		synctest.Wait()
		n.up.limit(32_000)
		dir.show(files.View{Set: many(100_000)})
		time.Sleep(time.Second)
		changed := time.Now()
		for _, name := range []string{"c", "d", "e"} {
			dir.list(name)
			time.Sleep(time.Second)
		}
		for m.registry.last().lagged() == 0 {
			time.Sleep(time.Millisecond)
		}
		waited := time.Since(changed)
		// What is on its way behind the snapshot takes time of the wire's, of
		// which neither end can know.
		if lag := m.registry.last().lagged(); lag < waited/2 || lag > waited {
			t.Errorf("the oldest change waited for %v, not for %v", waited, lag)
		}
		dir.list("f")
		time.Sleep(time.Minute)
		if lag := m.registry.last().lagged(); lag >= time.Second {
			t.Errorf("the change after it is said to have waited for %v", lag)
		}
	})
}

// What a stranger says of an age cannot spoil a measurement.
func TestAgeIsBounded(t *testing.T) {
	for said, want := range map[time.Duration]time.Duration{
		-time.Hour: 0, time.Second: time.Second, 1<<63 - 1: longestAge,
	} {
		if got := age(&scoutv1.Update{Age: durationpb.New(said)}); got != want {
			t.Errorf("%v counts as %v, not %v", said, got, want)
		}
	}
	if got := age(new(scoutv1.Update)); got != 0 {
		t.Errorf("no age counts as %v", got)
	}
	if got := age(&scoutv1.Update{Age: &durationpb.Duration{Seconds: 1 << 62, Nanos: -5}}); got != longestAge {
		t.Errorf("an age that is no duration counts as %v", got)
	}
}
