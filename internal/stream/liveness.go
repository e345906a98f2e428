package stream

import (
	"context"
	"sync"
	"time"

	"scout/internal/wake"
)

const (
	// masterTick is how often a scoutmaster shows its clock that it runs: its
	// heartbeats may be short. A scout needs to notice only long pauses, in which
	// it was as silent as its master, and waking up is most of what an idle scout
	// costs.
	masterTick = 50 * time.Millisecond
	scoutTick  = time.Second
	// shortestPause is by how much two readings must be further apart than a tick
	// to be a pause. None of a pause counts as awake time.
	shortestPause = 200 * time.Millisecond
	// After a pause of at least longPause, silence starts anew: what peers said
	// meanwhile is still in buffers, or their network has to try again. Shorter
	// pauses do not do that, or else a starved process would never give up a peer.
	longPause = time.Second
)

// awakeClock measures the time during which this process ran, so that a process
// that was stopped, suspended or starved does not take its own pause for the
// silence of others. It reads the monotonic clock: jumps of the wall clock do
// not matter. All sessions of a process share one.
type awakeClock struct {
	tick  time.Duration
	start time.Time

	mu     sync.Mutex
	seen   time.Duration // since start: the last reading
	paused time.Duration // how much of that the process did not run
	thawed time.Duration // awake time at the end of the last long pause
}

func newAwakeClock(tick time.Duration) *awakeClock {
	return &awakeClock{tick: tick, start: time.Now()}
}

// run reads the clock at each tick until ctx is done. Without it the clock takes
// every interval between two readings for a pause.
func (c *awakeClock) run(ctx context.Context) {
	tick := time.NewTicker(c.tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.now()
		}
	}
}

// now returns how long the process has been awake since the clock was made.
func (c *awakeClock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// since returns how long the process has been awake since now returned t, or
// since its last long pause if that is later.
func (c *awakeClock) since(t time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read() - max(t, c.thawed)
}

// read notes the pause that ends with this reading, if there was one: a timer
// that fires right after a thaw may well come before the next tick.
func (c *awakeClock) read() time.Duration {
	elapsed := time.Since(c.start)
	gap := elapsed - c.seen
	c.seen = elapsed
	if gap <= c.tick+shortestPause {
		return elapsed - c.paused
	}
	c.paused += gap
	if gap >= longPause {
		c.thawed = elapsed - c.paused
	}
	return elapsed - c.paused
}

// liveness knows when a peer was last heard, in awake time. Any goroutine may
// use it.
type liveness struct {
	clock    *awakeClock
	arrivals wake.Broadcast // at each message

	mu        sync.Mutex
	heard     time.Duration
	suspended bool        // nobody listens, so there is no silence
	watchdog  *time.Timer // nil when unwatched
}

// hear notes that a message has arrived.
func (l *liveness) hear() {
	l.mu.Lock()
	l.heard = l.clock.now()
	l.mu.Unlock()
	l.arrivals.Wake()
}

// next returns a channel that is closed when a message arrives after this call.
func (l *liveness) next() <-chan struct{} { return l.arrivals.Wait() }

// silence returns for how long nothing has been heard.
func (l *liveness) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent()
}

// suspend says that from now on nobody listens, so nothing can be heard.
func (l *liveness) suspend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = true
}

// resume says that somebody listens again: a silence would begin here.
func (l *liveness) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = false
	l.heard = l.clock.now()
}

// watch calls expired once, on a goroutine of its own, when nothing has been
// heard for the deadline, counted from now.
func (l *liveness) watch(deadline time.Duration, expired func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = l.clock.now()
	l.watchdog = time.AfterFunc(deadline, func() {
		if l.reached(deadline) {
			expired()
		}
	})
}

// unwatch ends the watch. A call of expired may be under way.
func (l *liveness) unwatch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchdog.Stop()
	l.watchdog = nil
}

// reached reports whether the silence has lasted for the deadline. If not, the
// watchdog runs again when it may have: a message only notes the time, which is
// cheaper than setting a timer.
func (l *liveness) reached(deadline time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchdog == nil {
		return false
	}
	left := deadline - l.silent()
	if left > 0 {
		l.watchdog.Reset(left)
	}
	return left <= 0
}

// silent is silence for a caller that holds mu.
func (l *liveness) silent() time.Duration {
	if l.suspended {
		return 0
	}
	return l.clock.since(l.heard)
}
