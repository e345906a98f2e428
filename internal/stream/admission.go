package stream

import (
	"container/list"
	"sync"
	"time"
)

// slotHold is how long a snapshot keeps others waiting. After that it goes on
// without its slot: a slow link must not hold up the fleet, and cannot flood
// the master either.
const slotHold = 5 * time.Second

// admission lets a few snapshots come in at once, first come first served.
type admission struct {
	mu    sync.Mutex
	free  int
	queue list.List // of *slot: who waits, oldest first
}

func newAdmission(slots int) *admission { return &admission{free: slots} }

// slot is one session's place, in the queue at first. A nil slot is nobody's.
type slot struct {
	admission *admission
	granted   chan struct{}
	place     *list.Element // nil: not in the queue
	hold      *time.Timer   // nil: not held
}

// request queues for a slot. It is granted when ready is closed, and has to be
// released in any case.
func (a *admission) request() *slot {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &slot{admission: a, granted: make(chan struct{})}
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
	}
	a.admit()
}

// admit grants the free slots to those who have waited longest.
func (a *admission) admit() {
	for a.free > 0 && a.queue.Len() > 0 {
		s := a.queue.Remove(a.queue.Front()).(*slot)
		s.place = nil
		a.free--
		s.hold = time.AfterFunc(slotHold, s.release)
		close(s.granted)
	}
}
