package stream

import (
	"container/list"
	"sync"
	"time"
)

const (
	// slotHold is how long a snapshot may keep its slot. After that it continues
	// without one: a slow link must not delay all other scouts, and cannot flood the
	// master.
	slotHold = 5 * time.Second
	// slotIdle is how long a snapshot may keep its slot before its first part.
	slotIdle = time.Second
	// reserveShare: before its first part, a snapshot reserves at most 1/4 of the
	// bytes, because an Offer only claims a size.
	reserveShare = 4
)

// snapshotQueue admits snapshots in the order of their Offers. It limits their number
// and their size in bytes. Any goroutine may use it.
type snapshotQueue struct {
	mu      sync.Mutex
	slots   int       // free
	bytes   int64     // free; negative if snapshots are larger than their Offers said
	limit   int64     // of bytes
	waiting list.List // of *slot, oldest first
}

// newSnapshotQueue returns a queue with this number of slots, for snapshots with this
// number of bytes together.
func newSnapshotQueue(slots int, limit int64) *snapshotQueue {
	return &snapshotQueue{slots: slots, bytes: limit, limit: limit}
}

// slot is the place of one session: first in the queue, then among the admitted
// snapshots. The methods of a nil slot do nothing.
type slot struct {
	queue    *snapshotQueue
	granted  chan struct{}
	element  *list.Element // nil: not in the queue
	expiry   *time.Timer   // nil: not granted, or expired
	began    time.Time     // when it was granted
	reserved int64         // bytes
	arrived  int64         // bytes
}

// request queues for a slot for a snapshot of about this size in bytes. The caller must
// release the slot, whether it was granted or not.
func (q *snapshotQueue) request(size int64) *slot {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &slot{queue: q, granted: make(chan struct{}), reserved: min(size, q.limit/reserveShare)}
	s.element = q.waiting.PushBack(s)
	q.grant()
	return s
}

// ready returns a channel that is closed when the slot has been granted.
func (s *slot) ready() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.granted
}

// arrive records that n bytes of the snapshot have arrived.
func (s *slot) arrive(n int) {
	if s == nil {
		return
	}
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.expiry == nil {
		return
	}
	if s.arrived == 0 {
		s.expiry.Reset(slotHold - time.Since(s.began))
	}
	s.arrived += int64(n)
	if more := s.arrived - s.reserved; more > 0 {
		s.reserved += more
		q.bytes -= more
	}
}

// release passes the slot to the next session, or leaves the queue. Further calls do
// nothing.
func (s *slot) release() {
	if s == nil {
		return
	}
	q := s.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.element != nil {
		q.waiting.Remove(s.element)
		s.element = nil
	}
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
		q.slots++
		q.bytes += s.reserved
	}
	q.grant()
}

// grant grants free slots to the sessions that have waited longest.
func (q *snapshotQueue) grant() {
	for q.slots > 0 && q.waiting.Len() > 0 {
		s := q.waiting.Front().Value.(*slot)
		if s.reserved > q.bytes {
			return
		}
		q.waiting.Remove(s.element)
		s.element = nil
		q.slots--
		q.bytes -= s.reserved
		s.began = time.Now()
		s.expiry = time.AfterFunc(slotIdle, s.release)
		close(s.granted)
	}
}
