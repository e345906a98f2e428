package throttle

import (
	"sync"
	"time"
)

// Limiter lets one event pass in each interval and counts the others. The first
// event passes at once. Any goroutine may use it. The zero Limiter is not
// ready: set Interval.
type Limiter struct {
	Interval time.Duration

	mu       sync.Mutex
	withheld int
	passed   time.Time // when the last event passed
}

// Allow reports whether the event that happens now may pass, and how many were
// withheld since the last one that did.
func (l *Limiter) Allow() (withheld int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.passed.IsZero() && now.Sub(l.passed) < l.Interval {
		l.withheld++
		return 0, false
	}
	withheld = l.withheld
	l.withheld, l.passed = 0, now
	return withheld, true
}
