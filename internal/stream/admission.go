package stream

import (
	"container/list"
	"sync"
	"time"
)

const (
	// slotHold is how long a snapshot keeps others waiting. After that it goes on
	// without its slot: a slow link must not hold up the fleet, and cannot flood
	// the master either.
	slotHold = 5 * time.Second
	// slotIdle is how long it does when nothing of it comes.
	slotIdle = time.Second
	// maxClaim is the part of the bytes that a snapshot may hold before it has
	// come: one in so many. What is offered is only said.
	maxClaim = 4
)

// admission lets a few snapshots come in at once, few by their number and by
// their bytes, first come first served.
type admission struct {
	mu     sync.Mutex
	free   int       // slots
	room   int64     // bytes; below 0 when snapshots are larger than was said
	budget int64     // bytes, all of them
	queue  list.List // of *slot: who waits, oldest first
}

// newAdmission returns an admission of so many snapshots, of so many bytes
// together.
func newAdmission(slots int, budget int64) *admission {
	return &admission{free: slots, room: budget, budget: budget}
}

// slot is one session's place, in the queue at first. A nil slot is nobody's.
type slot struct {
	admission *admission
	granted   chan struct{}
	place     *list.Element // nil: not in the queue
	hold      *time.Timer   // nil: not held
	began     time.Time     // when it was granted
	claim     int64         // bytes that it holds
	came      int64         // bytes that have come
}

// request queues for a slot for a snapshot of about so many bytes. It is
// granted when ready is closed, and has to be released in any case.
func (a *admission) request(size int64) *slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &slot{admission: a, granted: make(chan struct{}), claim: min(size, a.budget/maxClaim)}
	s.place = a.queue.PushBack(s)
	a.admit()
	return s
}

// ready is closed when the slot has been granted.
func (s *slot) ready() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.granted
}

// arrive notes that n bytes of the snapshot have come.
func (s *slot) arrive(n int) {
	if s == nil {
		return
	}
	a := s.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.hold == nil {
		return
	}
	if s.came == 0 {
		s.hold.Reset(slotHold - time.Since(s.began))
	}
	s.came += int64(n)
	if more := s.came - s.claim; more > 0 {
		s.claim += more
		a.room -= more
	}
}

// release gives the slot to the next, or leaves the queue. It may be called
// again.
func (s *slot) release() {
	if s == nil {
		return
	}
	a := s.admission
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.place != nil {
		a.queue.Remove(s.place)
		s.place = nil
	}
	if s.hold != nil {
		s.hold.Stop()
		s.hold = nil
		a.free++
		a.room += s.claim
	}
	a.admit()
}

// admit grants what is free to those who have waited longest.
func (a *admission) admit() {
	for a.free > 0 && a.queue.Len() > 0 {
		s := a.queue.Front().Value.(*slot)
		if s.claim > a.room {
			return
		}
		a.queue.Remove(s.place)
		s.place = nil
		a.free--
		a.room -= s.claim
		s.began = time.Now()
		s.hold = time.AfterFunc(slotIdle, s.release)
		close(s.granted)
	}
}
