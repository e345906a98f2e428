package throttle_test

import (
	"fmt"
	"slices"
	"sync"
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
		time.Sleep(time.Second)
		if n, ok := l.Allow(); !ok || n != 0 {
			t.Errorf("after an interval without events: %d, %t; want 0, true", n, ok)
		}
	})
}

func TestKeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := throttle.Keyed[string]{Interval: time.Second, Each: 2, Most: 4}
		for _, event := range []struct {
			key      string
			withheld int
			ok       bool
		}{
			{"a", 0, true},
			{"a", 0, true},
			{"a", 0, false}, // the third of its key
			{"b", 1, true},
			{"c", 0, true},
			{"d", 0, false}, // the fifth of all
			{"b", 0, false},
		} {
			if n, ok := k.Allow(event.key); n != event.withheld || ok != event.ok {
				t.Errorf("%s: %d, %t; want %d, %t", event.key, n, ok, event.withheld, event.ok)
			}
		}
		time.Sleep(time.Second)
		if n, ok := k.Allow("a"); !ok || n != 2 {
			t.Errorf("after the interval: %d, %t; want 2, true", n, ok)
		}
	})
}

func TestLatest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var passed []string
		l := throttle.Latest{Interval: time.Second}
		event := func(name string) {
			l.Do(func(withheld int) {
				mu.Lock()
				defer mu.Unlock()
				passed = append(passed, fmt.Sprint(name, " ", withheld))
			})
		}
		expect := func(want ...string) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if !slices.Equal(passed, want) {
				t.Errorf("passed: %q, want %q", passed, want)
			}
			passed = nil
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			event(name)
		}
		expect("a 0")
		time.Sleep(time.Second)
		expect("d 2")
		event("e")
		expect()
		time.Sleep(time.Second)
		expect("e 0")
		time.Sleep(time.Second)
		event("f")
		expect("f 0")
		event("g")
		l.Flush()
		expect("g 0")
		time.Sleep(time.Minute)
		expect()
	})
}
