package stream

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A session of both real ends, from its start to its end.
func TestSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		m := startMaster(t, n)
		c := startScout(t, n, newSource("a", "b"))
		synctest.Wait()
		c.source.list("b", "c", "d")
		synctest.Wait()
		c.source.cannot("vanished")
		synctest.Wait()
		c.source.list("e")
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
		n := newNetwork()
		m := startMaster(t, n)
		c := startScout(t, n, newSource("a"))
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := m.registry.joined(); got != 1 {
			t.Errorf("%d sessions", got)
		}
		if beats := m.registry.last().beats(); beats < 3590 {
			t.Errorf("%d beats in an hour", beats)
		}
		if lost := c.logs.count("master lost"); lost != 0 {
			t.Errorf("master lost %d times", lost)
		}
	})
}
