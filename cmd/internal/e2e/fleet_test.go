//go:build linux

package e2e

import (
	"fmt"
	"testing"
	"time"
)

// F1: a scoutmaster is killed. Its scouts go elsewhere, nothing leaves the list
// meanwhile, and its successor has the list as soon as it is ready.
func TestFleetKilledScoutmaster(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 3)
	scouts := f.startScouts(50)
	f.agree(scouts...)
	victim := f.home(scouts[0])
	moving := f.homed(victim, scouts)
	h, from := f.hop(scouts...), f.logged()
	h.isAway(victim)
	f.kill(victim)
	began := time.Now()
	for _, s := range moving {
		await(t, s.Process, "master lost")
		within(t, patience, func() error {
			if n := len(events(s.Process, 0, "registered")); n < 2 {
				return fmt.Errorf("%s has registered %d times", s.host, n)
			}
			return nil
		})
	}
	t.Logf("%d scouts have moved %s after the death", len(moving), time.Since(began).Round(time.Millisecond))
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
}

// F1: a scoutmaster is frozen past the deadline. It is lost like a dead one, and
// when it thaws it learns that, and is one of the fleet again.
func TestFleetFrozenScoutmaster(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 3)
	scouts := f.startScouts(50)
	f.agree(scouts...)
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
}

// F1: a scoutmaster is stopped. Its scouts are told to go elsewhere.
func TestFleetStoppedScoutmaster(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 2)
	scouts := f.startScouts(50)
	f.agree(scouts...)
	victim := f.home(scouts[0])
	moving := f.homed(victim, scouts)
	h, from := f.hop(scouts...), f.logged()
	h.isAway(victim)
	f.stop(victim)
	f.lost(victim, from, "scoutmaster stopping")
	for _, s := range moving {
		if e := await(t, s.Process, "master lost"); e.Text("reason") != "NOT_SERVING: this scoutmaster is stopping" {
			t.Errorf("%v", e)
		}
	}
	time.Sleep(2*fleetDeadline + fleetHeartbeat)
	f.agree(scouts...)
	h.done()
}

// F1: all scoutmasters are upgraded, one after the other. Readers of those that are
// ready notice nothing.
func TestFleetRollingUpgrade(t *testing.T) {
	t.Parallel()
	f := startFleet(t, 1, 3)
	scouts := f.startScouts(50)
	f.agree(scouts...)
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
	for _, m := range f.masters {
		for _, e := range events(m.Process, 0, "scout dropped") {
			if e.Text("reason") != "scoutmaster stopping" && e.Text("reason") != "replaced" {
				t.Errorf("%v", e)
			}
		}
	}
}
