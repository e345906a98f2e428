package stream

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstRetry = 600 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// backoff spaces the starts of attempts: exponentially, so that a master that
// is gone for long is not pestered, and with jitter, so that the scouts which
// lost it together do not come back together.
type backoff struct {
	started time.Time     // when the last attempt began
	ceiling time.Duration // of the next interval
}

// newBackoff begins a row of attempts now. The first comes soon, unless the
// last session was unwanted: the next one will be as well, for a while.
func newBackoff(unwanted bool) *backoff {
	if unwanted {
		return &backoff{started: time.Now(), ceiling: lastRetry}
	}
	return &backoff{started: time.Now(), ceiling: firstRetry}
}

// wait returns when the next attempt is due. It is false when ctx was done first.
func (b *backoff) wait(ctx context.Context) bool {
	due := time.NewTimer(b.interval() - time.Since(b.started))
	defer due.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-due.C:
		b.started = time.Now()
		return true
	}
}

// interval is between a tenth of the ceiling and the ceiling, which then
// doubles: so a fleet that loses its master for a moment does not come back in
// one.
func (b *backoff) interval() time.Duration {
	least := b.ceiling / 10
	interval := least + rand.N(b.ceiling-least)
	b.ceiling = min(2*b.ceiling, lastRetry)
	return interval
}
