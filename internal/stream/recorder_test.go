package stream

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// tally is a recorder of both kinds that counts.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func (t *tally) add(n int, format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make(map[string]int)
	}
	t.counts[fmt.Sprintf(format, args...)] += n
}

// take returns what was counted since it was last called.
func (t *tally) take() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	counts := t.counts
	t.counts = nil
	return counts
}

func (t *tally) Refused(reason LeaveReason) { t.add(1, "refused, %s", reason) }
func (t *tally) Left(reason LeaveReason)    { t.add(1, "left, %s", reason) }
func (t *tally) Snapshot(names, bytes int, _ time.Duration) {
	t.add(bytes, "bytes of %d names", names)
}

func (t *tally) Change(added, removed int, latency time.Duration) {
	t.add(1, "+%d -%d after %v", added, removed, latency)
}
func (t *tally) Resync()          { t.add(1, "resync") }
func (t *tally) HeartbeatMissed() { t.add(1, "missed") }
func (t *tally) Registered()      { t.add(1, "registered") }
func (t *tally) MasterLost()      { t.add(1, "lost") }
func (t *tally) SnapshotSent(names, bytes int, _ time.Duration) {
	t.add(bytes, "bytes sent of %d names", names)
}

func (t *tally) ChangeSent(added, removed, bytes int, age time.Duration) {
	t.add(bytes, "sent +%d -%d after %v", added, removed, age)
}
func (t *tally) ResyncRequested() { t.add(1, "resync requested") }

func TestRecorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		up, down := new(tally), new(tally)
		m := startMaster(t, n, func(c *Config) { c.Recorder = up })
		dir := newDirectory("a", "bc")
		c := startScout(t, n, dir, func(s *Scout) { s.Recorder = down })
		expect := func(when string, t2 *tally, want map[string]int) {
			t.Helper()
			synctest.Wait()
			if got := t2.take(); !maps.Equal(got, want) {
				t.Errorf("%s: counted %v, not %v", when, got, want)
			}
		}
		const names = 2 + 1 + 2 + 2 // each name and two lengths
		expect("registered", up, map[string]int{"bytes of 2 names": names})
		expect("registered", down, map[string]int{"registered": 1, "bytes sent of 2 names": names})

		dir.list("a", "d")
		expect("changed", up, map[string]int{"+1 -1 after 0s": 1})
		expect("changed", down, map[string]int{"sent +1 -1 after 0s": 2*2 + 2 + 1})

		time.Sleep(10 * time.Minute)
		expect("idle", up, nil)
		expect("idle", down, nil)

		m.registry.decide(func(context.Context, Peer) error { return &HeldError{Origin: web01, Holder: "someone"} })
		n.up.lose()
		time.Sleep(deadline + heartbeat)
		missed := up.take()
		if missed["missed"] == 0 || missed["left, "+string(LeftSilent)] != 1 || len(missed) != 2 {
			t.Errorf("silent: counted %v", missed)
		}
		n.up.open()
		time.Sleep(time.Minute)
		refused := up.take()
		if refused["refused, held"] == 0 {
			t.Errorf("held: counted %v", refused)
		}
		if lost := down.take(); lost["lost"] != 1 {
			t.Errorf("lost: counted %v", lost)
		}
		c.leave()
	})
}

// A copy that differs is counted once.
func TestResyncsAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		up := new(tally)
		startMaster(t, n, func(c *Config) { c.Recorder = up })
		r := synced(t, n, "a")
		synctest.Wait()
		up.take()
		r.say(sayBeat(1, setOf("b")))
		r.expect("Resync", isResync)
		if got := up.take(); got["resync"] != 1 || len(got) != 1 {
			t.Errorf("the master counted %v", got)
		}
	})
}

// A scout shows that it works all the time, registered or not, and not before
// it has ever been registered.
func TestPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n, func(c *Config) { c.Heartbeat, c.Deadline = time.Hour, 2*time.Hour })
		var mu sync.Mutex
		var last time.Time
		var longest time.Duration
		pulse := func() {
			mu.Lock()
			defer mu.Unlock()
			if now := time.Now(); !last.IsZero() {
				longest = max(longest, now.Sub(last))
			}
			last = time.Now()
		}
		began := time.Now()
		startScout(t, n, newDirectory("a"), func(s *Scout) { s.Pulse = pulse })
		synctest.Wait()
		mu.Lock()
		if last != began {
			t.Error("no sign of life when it is registered")
		}
		mu.Unlock()
		time.Sleep(20 * time.Minute)
		m.kill()
		time.Sleep(20 * time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if longest > registerBound+lastRetry+time.Second || time.Since(last) > 15*time.Second {
			t.Errorf("no sign of life for %v, and the last %v ago", longest, time.Since(last))
		}
	})
}
