package stream

import (
	"context"
	"sync"
	"time"

	"scout/internal/wake"
)

const (
	// masterTick is the interval at which a scoutmaster reads its clock; its
	// heartbeats may be short. A scout needs to notice only long pauses, and wakes
	// up less often, because most of the cost of an idle scout is waking up.
	masterTick = 50 * time.Millisecond
	scoutTick  = time.Second
	// shortestPause is the time that an interval between two readings must exceed a
	// tick to count as a pause. No part of a pause is awake time.
	shortestPause = 200 * time.Millisecond
	// After a pause of at least longPause, the measurement of silence starts again:
	// messages from the pause are still in buffers, or the network has to send them
	// again. A shorter pause has no such effect, because otherwise a starved process
	// would never give up a peer.
	longPause = time.Second
)

// awakeClock measures the time during which this process ran. So a process that was
// stopped, suspended or starved does not mistake its own pause for the silence of a
// peer. It uses the monotonic clock: jumps of the wall clock have no effect. All
// sessions of a process share one.
type awakeClock struct {
	tick  time.Duration
	start time.Time

	mu     sync.Mutex
	seen   time.Duration // since start: the last reading
	paused time.Duration // the part of seen in which the process did not run
	thawed time.Duration // awake time at the end of the last long pause
}

func newAwakeClock(tick time.Duration) *awakeClock {
	return &awakeClock{tick: tick, start: time.Now()}
}

// run reads the clock at each tick until ctx is done. Without it every interval
// between two readings counts as a pause.
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

// now returns the awake time since the clock was made.
func (c *awakeClock) now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// since returns the awake time since now returned t, or since the last long pause if
// that is later.
func (c *awakeClock) since(t time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read() - max(t, c.thawed)
}

// read also records a pause that ends with this reading, because a timer may fire
// after the pause and before the next tick.
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

// liveness records when a peer was last heard, in awake time. Any goroutine may use
// it.
type liveness struct {
	clock    *awakeClock
	arrivals wake.Broadcast // wakes at each message

	mu        sync.Mutex
	heard     time.Duration
	suspended bool        // nobody receives, so there is no silence
	watchdog  *time.Timer // nil if there is no watch
}

// hear records that a message has arrived.
func (l *liveness) hear() {
	l.mu.Lock()
	l.heard = l.clock.now()
	l.mu.Unlock()
	l.arrivals.Wake()
}

// next returns a channel that is closed when a message arrives after this call.
func (l *liveness) next() <-chan struct{} { return l.arrivals.Wait() }

// silence returns the time since the last message.
func (l *liveness) silence() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silent()
}

// suspend says that nobody receives messages from now on.
func (l *liveness) suspend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = true
}

// resume says that messages are received again. Silence counts from here.
func (l *liveness) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = false
	l.heard = l.clock.now()
}

// watch calls expired once, in a separate goroutine, when the silence reaches the
// deadline. Silence counts from now.
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

// unwatch ends the watch. A call of expired may still be in progress.
func (l *liveness) unwatch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchdog.Stop()
	l.watchdog = nil
}

// reached reports whether the silence has reached the deadline. If not, it sets the
// watchdog for the earliest possible time. A message only records its time, which is
// cheaper than resetting a timer.
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

// silent is silence. The caller holds mu.
func (l *liveness) silent() time.Duration {
	if l.suspended {
		return 0
	}
	return l.clock.since(l.heard)
}
