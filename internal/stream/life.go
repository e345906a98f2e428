package stream

import (
	"sync"
	"time"
)

// life is when a peer was last heard, in awake time, and who waits to hear it.
// Any goroutine may use it.
type life struct {
	clock *awake

	mu        sync.Mutex
	heard     time.Duration
	suspended bool          // nobody listens, so there is no silence
	arrival   chan struct{} // closed at the next message; nil when nobody waits
	watchdog  *time.Timer   // nil when unwatched
}

// hear notes that a message has arrived.
func (l *life) hear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = l.clock.now()
	if l.arrival != nil {
		close(l.arrival)
		l.arrival = nil
	}
}

// ago is how long ago something was heard.
func (l *life) ago() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silence()
}

// next is closed when a message arrives after this call.
func (l *life) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arrival == nil {
		l.arrival = make(chan struct{})
	}
	return l.arrival
}

// suspend says that from now on nobody listens, so that nothing can be heard.
func (l *life) suspend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = true
}

// resume says that somebody listens again: a silence would begin here.
func (l *life) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.suspended = false
	l.heard = l.clock.now()
}

// watch calls silent, on a goroutine of its own, once nothing has been heard
// for the deadline, counted from now. It is called once.
func (l *life) watch(deadline time.Duration, silent func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard = l.clock.now()
	l.watchdog = time.AfterFunc(deadline, func() {
		if l.expired(deadline) {
			silent()
		}
	})
}

// unwatch ends the watch. A call of silent may be under way.
func (l *life) unwatch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watchdog.Stop()
	l.watchdog = nil
}

// expired reports whether the silence has lasted for the deadline. If not, the
// watchdog looks again when it may have: a message only notes the time, which
// is cheaper than setting a timer.
func (l *life) expired(deadline time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watchdog == nil {
		return false
	}
	left := deadline - l.silence()
	if left > 0 {
		l.watchdog.Reset(left)
	}
	return left <= 0
}

// quiet is how long nothing has been heard.
func (l *life) quiet() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.silence()
}

func (l *life) silence() time.Duration {
	if l.suspended {
		return 0
	}
	return l.clock.since(l.heard)
}
