package throttle_test

import (
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/throttle"
)

func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := throttle.NewBudget(0.1, time.Second)
		if got := b.Credit(); got != time.Second {
			t.Errorf("a new budget has a credit of %s, want 1s", got)
		}
		b.Spend(3 * time.Second)
		if got := b.Credit(); got != -2*time.Second {
			t.Errorf("after 3 s of work the credit is %s, want -2s", got)
		}
		wait := b.Wait(0)
		if wait < 20*time.Second || wait > 21*time.Second {
			t.Errorf("an overdraft of 2 s at a share of 0.1 waits %s, want 20 s", wait)
		}
		time.Sleep(wait)
		if got := b.Wait(0); got != 0 {
			t.Errorf("after the wait, wait %s more", got)
		}
		time.Sleep(time.Hour)
		if got := b.Credit(); got != time.Second {
			t.Errorf("after an hour the credit is %s, want at most 1s", got)
		}
	})
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := throttle.Limiter{Interval: time.Second}
		if n, ok := l.Allow(); !ok || n != 0 {
			t.Errorf("the first event: %d, %t; want 0, true", n, ok)
		}
		for range 3 {
			if _, ok := l.Allow(); ok {
				t.Error("a second event passed within the interval")
			}
		}
		time.Sleep(time.Second)
		if n, ok := l.Allow(); !ok || n != 3 {
			t.Errorf("after the interval: %d, %t; want 3, true", n, ok)
		}
	})
}
