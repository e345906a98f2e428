package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// freeze makes the clock believe that the process did not run for d.
func (c *awakeClock) freeze(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start = c.start.Add(-d)
}

func runningClock(t *testing.T) *awakeClock {
	clock := newAwakeClock(masterTick)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go clock.run(ctx)
	return clock
}

func TestAwake(t *testing.T) {
	for _, tc := range []struct {
		name  string
		pause time.Duration
		want  time.Duration // since 2 s before the pause, 1 s after it
	}{
		{"hiccup", 200 * time.Millisecond, 3200 * time.Millisecond},
		{"starved", 700 * time.Millisecond, 3 * time.Second},
		{"stopped", time.Second, time.Second},
		{"suspended", time.Hour, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := runningClock(t)
				time.Sleep(time.Minute)
				synctest.Wait()
				began := clock.now()
				time.Sleep(2 * time.Second)
				synctest.Wait()
				clock.freeze(tc.pause)
				time.Sleep(time.Second)
				synctest.Wait()
				// A pause lasts from the tick before it to the tick after it.
				if got := clock.since(began); got > tc.want || got < tc.want-masterTick {
					t.Errorf("awake for %v, not %v", got, tc.want)
				}
			})
		})
	}
}

// A reading notices a pause that the ticks have not seen yet.
func TestAwakeDuringPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newAwakeClock(masterTick)
		began := clock.now()
		time.Sleep(10 * time.Second) // nobody ticks
		if got := clock.since(began); got != 0 {
			t.Errorf("awake for %v while stopped", got)
		}
	})
}

func TestSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		during func(*liveness) // from 1 s after the watch began
		want   time.Duration
	}{
		{"nothing heard", func(*liveness) {}, 3 * time.Second},
		{"heard once", func(l *liveness) { l.hear() }, 4 * time.Second},
		{"heard each second", func(l *liveness) {
			for range 10 {
				time.Sleep(time.Second)
				l.hear()
			}
		}, 14 * time.Second},
		{"own pause", func(l *liveness) {
			time.Sleep(1900 * time.Millisecond)
			synctest.Wait()
			l.clock.freeze(9 * time.Second)
		}, 5900 * time.Millisecond},
		{"nobody listened", func(l *liveness) {
			l.suspend()
			time.Sleep(time.Minute)
			l.resume()
		}, 64 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := liveness{clock: runningClock(t)}
				fired := make(chan struct{})
				began := time.Now()
				l.watch(3*time.Second, func() { close(fired) })
				time.Sleep(time.Second)
				tc.during(&l)
				<-fired
				// A pause is found out at the next tick.
				if got := time.Since(began); got < tc.want || got > tc.want+masterTick {
					t.Errorf("silent after %v, not %v", got, tc.want)
				}
			})
		})
	}
}

func TestUnwatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveness{clock: runningClock(t)}
		l.watch(3*time.Second, func() { t.Error("called after the watch had ended") })
		time.Sleep(2 * time.Second)
		l.unwatch()
		time.Sleep(time.Minute)
	})
}

func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := liveness{clock: runningClock(t)}
		l.hear()
		first, second := l.next(), l.next()
		select {
		case <-first:
			t.Error("what was heard before counts")
		default:
		}
		l.hear()
		<-first
		<-second
	})
}
