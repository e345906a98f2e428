package throttle

import (
	"sync"
	"time"
)

// Keyed lets a few events pass in each interval, at most Each of one key and Most in
// all, and counts the others. Any goroutine may use it. The zero Keyed is not ready:
// set Interval, Each and Most.
type Keyed[K comparable] struct {
	Interval   time.Duration
	Each, Most int

	mu       sync.Mutex
	began    time.Time // the interval
	passed   map[K]int // in the interval
	all      int       // the sum of passed
	withheld int
}

// Allow reports whether the event that happens now may pass, and how many of any
// key were withheld since the last one that did.
func (k *Keyed[K]) Allow(key K) (withheld int, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := time.Now(); k.passed == nil || now.Sub(k.began) >= k.Interval {
		k.began, k.passed, k.all = now, make(map[K]int), 0
	}
	if k.passed[key] >= k.Each || k.all >= k.Most {
		k.withheld++
		return 0, false
	}
	k.passed[key]++
	k.all++
	withheld, k.withheld = k.withheld, 0
	return withheld, true
}
