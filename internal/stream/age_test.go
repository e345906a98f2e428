package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// The age of a change is that of the oldest of what is told with it, also when
// it had to wait for a snapshot to be through.
func TestAgeOfAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		src := newSource("a")
		startScout(t, n, src)
		synctest.Wait()
		src.list("b")
		synctest.Wait()
		if lag := m.registry.last().lagged(); lag != 0 {
			t.Errorf("a change that was told at once was %v on its way", lag)
		}

		src.cannot("scanning")
		synctest.Wait()
		n.up.limit(32_000)
		src.show(files.View{Set: many(100_000)})
		time.Sleep(time.Second)
		changed := time.Now()
		for _, name := range []string{"c", "d", "e"} {
			src.list(name)
			time.Sleep(time.Second)
		}
		for m.registry.last().lagged() == 0 {
			time.Sleep(time.Millisecond)
		}
		waited := time.Since(changed)
		// What is on its way behind the snapshot takes time of the wire's, of
		// which neither end can know.
		if lag := m.registry.last().lagged(); lag < waited/2 || lag > waited {
			t.Errorf("the oldest change waited for %v, not for %v", waited, lag)
		}
		src.list("f")
		time.Sleep(time.Minute)
		if lag := m.registry.last().lagged(); lag >= time.Second {
			t.Errorf("the change after it is said to have waited for %v", lag)
		}
	})
}

// What a stranger says of an age cannot spoil a measurement.
func TestAgeIsBounded(t *testing.T) {
	for said, want := range map[time.Duration]time.Duration{
		-time.Hour: 0, time.Second: time.Second, 1<<63 - 1: longestAge,
	} {
		if got := age(&scoutv1.Update{Age: durationpb.New(said)}); got != want {
			t.Errorf("%v counts as %v, not %v", said, got, want)
		}
	}
	if got := age(new(scoutv1.Update)); got != 0 {
		t.Errorf("no age counts as %v", got)
	}
	if got := age(&scoutv1.Update{Age: &durationpb.Duration{Seconds: 1 << 62, Nanos: -5}}); got != longestAge {
		t.Errorf("an age that is no duration counts as %v", got)
	}
}
