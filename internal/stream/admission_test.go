package stream

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func isReady(s *slot) bool {
	select {
	case <-s.ready():
		return true
	default:
		return false
	}
}

// admitted is which of the slots are ready.
func admitted(slots []*slot) []int {
	var ready []int
	for i, s := range slots {
		if isReady(s) {
			ready = append(ready, i)
		}
	}
	return ready
}

func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, 1000)
		var slots []*slot
		for range 6 {
			slots = append(slots, a.request(1))
		}
		expect := func(what string, want ...int) {
			t.Helper()
			if got := admitted(slots); !slices.Equal(got, want) {
				t.Errorf("%s: %v are ready, not %v", what, got, want)
			}
		}
		expect("at first", 0, 1)
		slots[0].release()
		slots[0].release()
		expect("one released, twice", 0, 1, 2)
		slots[3].release()
		slots[1].release()
		expect("one has left the queue", 0, 1, 2, 4)
		slots[2].arrive(1)
		slots[4].arrive(1)
		time.Sleep(slotIdle)
		synctest.Wait()
		expect("held for a while", 0, 1, 2, 4)
		time.Sleep(slotHold - slotIdle)
		synctest.Wait()
		expect("held for long", 0, 1, 2, 4, 5)
		time.Sleep(slotIdle)
		synctest.Wait()
		for _, s := range slots {
			s.release()
		}
		a.isIdle(t, 2, 1000)
	})
}

// isIdle fails unless nobody holds anything nor waits.
func (a *admission) isIdle(t *testing.T, slots int, room int64) {
	t.Helper()
	if a.free != slots || a.room != room || a.queue.Len() != 0 {
		t.Errorf("%d slots and %d bytes are free and %d sessions wait, after all have left", a.free, a.room, a.queue.Len())
	}
}

// Many small snapshots come in at once, and few large ones, whatever their
// scouts said of their size.
func TestAdmissionByBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(100, 1000)
		var slots []*slot
		for _, size := range []int64{100, 200, 1 << 62, 250, 250, 10, 10} {
			slots = append(slots, a.request(size))
		}
		expect := func(what string, want ...int) {
			t.Helper()
			if got := admitted(slots); !slices.Equal(got, want) {
				t.Errorf("%s: %v are ready, not %v", what, got, want)
			}
		}
		expect("at first", 0, 1, 2, 3) // 800 bytes
		slots[0].release()
		expect("100 bytes more are free", 0, 1, 2, 3, 4, 5, 6) // 970
		slots[2].arrive(2000)
		slots = append(slots, a.request(1))
		slots[1].release()
		expect("one is larger than all room", 0, 1, 2, 3, 4, 5, 6)
		slots[2].release()
		expect("it is in", 0, 1, 2, 3, 4, 5, 6, 7)
		slots[2].arrive(5000) // what is said late counts no more
		time.Sleep(slotIdle)
		synctest.Wait()
		a.isIdle(t, 100, 1000)
		for _, s := range slots {
			s.release()
		}
		a.isIdle(t, 100, 1000)
	})
}

// A session without a slot waits for none and has none to give.
func TestNoSlot(t *testing.T) {
	var s *slot
	s.release()
	if isReady(s) {
		t.Error("no slot is ready")
	}
}
