package stream

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoffInterval(t *testing.T) {
	var least, most [20]time.Duration
	for range 1000 {
		b := newBackoff(false)
		for i := range least {
			d := b.interval()
			if least[i] == 0 || d < least[i] {
				least[i] = d
			}
			most[i] = max(most[i], d)
		}
	}
	ceiling := firstRetry
	for i := range least {
		if least[i] < ceiling/10 || most[i] >= ceiling {
			t.Errorf("interval %d is between %v and %v, its ceiling is %v", i, least[i], most[i], ceiling)
		}
		if spread := most[i] - least[i]; spread < ceiling/2 {
			t.Errorf("interval %d varies by %v only", i, spread)
		}
		ceiling = min(2*ceiling, lastRetry)
	}
}

// Intervals lie between the starts of attempts, however long one takes.
func TestBackoffStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBackoff(false)
		last := time.Now()
		for range 50 {
			if !b.wait(t.Context()) {
				t.Fatal("not done")
			}
			if apart := time.Since(last); apart > lastRetry {
				t.Errorf("attempts %v apart", apart)
			}
			last = time.Now()
			time.Sleep(registerBound)
		}
	})
}

func TestBackoffDone(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	b := &backoff{started: time.Now(), ceiling: time.Hour}
	if b.wait(ctx) {
		t.Error("it waited though nobody wants another attempt")
	}
}
