package stream

import (
	"context"
	"sync"
	"time"
)

const (
	// How often a process shows itself that it runs. A master may be told to be
	// impatient. A scout hardly needs to know of its shorter pauses, in which it
	// was as silent to its master as the master to it, and to wake up is most of
	// what it costs to be idle.
	masterTick = 50 * time.Millisecond
	scoutTick  = time.Second
	// A gap between two signs of running that is longer than a tick by this is a
	// pause, and none of it counts.
	shortestPause = 200 * time.Millisecond
	// After a pause this long, silences start anew: what peers said meanwhile
	// is still in buffers, or waits for their network to try again. Shorter
	// ones do not, or else a starved process would never give anyone up.
	longPause = time.Second
)

// awake is a clock of the time during which this process ran. A process that
// was stopped, suspended or starved must not take its own pause for the silence
// of others. It reads the monotonic clock, so that the wall clock's jumps do
// not matter. One serves all sessions of a process.
type awake struct {
	tick  time.Duration
	start time.Time

	mu     sync.Mutex
	seen   time.Duration // since start: when the process last showed that it runs
	paused time.Duration // how much of that it did not run
	thawed time.Duration // awake time when the last long pause ended
}

func newAwake(tick time.Duration) *awake { return &awake{tick: tick, start: time.Now()} }

// run keeps the clock until ctx is done. A clock that nobody runs takes every
// silence between two readings for a pause.
func (a *awake) run(ctx context.Context) {
	tick := time.NewTicker(a.tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			a.now()
		}
	}
}

// now is how long the process has been awake since the clock was made.
func (a *awake) now() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.read()
}

// since is how long the process has been awake since now returned t, or since
// its last long pause when that is later.
func (a *awake) since(t time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.read() - max(t, a.thawed)
}

// read notes the pause that ends with this reading, if there was one: a timer
// that fires right after a thaw may well come before the next tick.
func (a *awake) read() time.Duration {
	elapsed := time.Since(a.start)
	gap := elapsed - a.seen
	a.seen = elapsed
	if gap <= a.tick+shortestPause {
		return elapsed - a.paused
	}
	a.paused += gap
	if gap >= longPause {
		a.thawed = elapsed - a.paused
	}
	return elapsed - a.paused
}
