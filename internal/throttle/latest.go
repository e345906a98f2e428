package throttle

import (
	"sync"
	"time"
)

// Latest lets the first event of a quiet time pass at once, and of the events
// that follow within the interval only the last one, at the end of the interval.
// Any goroutine may use it. The zero Latest is not ready: set Interval.
type Latest struct {
	Interval time.Duration

	mu       sync.Mutex
	timer    *time.Timer // nil: quiet
	last     func(withheld int)
	withheld int
}

// Do calls pass for the event that happens now, at once or at the end of the
// interval, with the number of events withheld since the last one that passed;
// or never, if another event follows in time. pass must not call Do.
func (l *Latest) Do(pass func(withheld int)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.timer == nil {
		l.timer = time.AfterFunc(l.Interval, l.end)
		pass(0)
		return
	}
	if l.last != nil {
		l.withheld++
	}
	l.last = pass
}

// Flush lets the event that waits pass now.
func (l *Latest) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
}

func (l *Latest) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.pass() {
		l.timer = nil
		return
	}
	l.timer.Reset(l.Interval)
}

func (l *Latest) pass() bool {
	if l.last == nil {
		return false
	}
	l.last(l.withheld)
	l.last, l.withheld = nil, 0
	return true
}
