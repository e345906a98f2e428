package throttle

import (
	"sync"
	"time"
)

// Keyed lets one event of each key pass in each interval, at most Most events in
// all, and counts the others. Any goroutine may use it. The zero Keyed is not
// ready: set Interval and Most.
type Keyed[K comparable] struct {
	Interval time.Duration
	Most     int

	mu       sync.Mutex
	began    time.Time // the interval
	passed   map[K]struct{}
	withheld int
}

// Allow reports whether the event that happens now may pass, and how many of any
// key were withheld since the last one that did.
func (k *Keyed[K]) Allow(key K) (withheld int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.passed == nil || now.Sub(k.began) >= k.Interval {
		k.began, k.passed = now, make(map[K]struct{})
	}
	if _, passed := k.passed[key]; passed || len(k.passed) >= k.Most {
		k.withheld++
		return 0, false
	}
	k.passed[key] = struct{}{}
	withheld, k.withheld = k.withheld, 0
	return withheld, true
}
