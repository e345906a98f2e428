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
		a := newAdmission(2)
		var slots []*slot
		for range 6 {
			slots = append(slots, a.request())
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
		time.Sleep(slotHold)
		synctest.Wait()
		expect("held for long", 0, 1, 2, 4, 5)
		for _, s := range slots {
			s.release()
		}
		if a.free != 2 || a.queue.Len() != 0 {
			t.Errorf("%d slots are free and %d sessions wait, after all have left", a.free, a.queue.Len())
		}
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
