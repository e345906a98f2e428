package stream

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	firstRetry = 600 * time.Millisecond
	lastRetry  = 5 * time.Second
	// provenAfter is how long a session must go on after its snapshot so that the next
	// attempt is soon. A session that ends earlier counts as a failed attempt, because
	// otherwise a scout would connect without a pause to a proxy that cuts every
	// stream, or to a master that rejects its files.
	provenAfter = 10 * time.Second
)

// backoff spaces the starts of attempts: exponentially, to limit the load while a
// master is gone, and with jitter, so that scouts that lost it at the same time do not
// return at the same time.
type backoff struct {
	started time.Time     // of the last attempt
	ceiling time.Duration // of the next interval
	hurries int           // how often other masters may still be tried at once
}

// mostHurries is how often a scout tries other masters at once, until a session has
// proven itself.
const mostHurries = 3

func newBackoff() *backoff { return &backoff{ceiling: firstRetry, hurries: mostHurries} }

// lost starts the attempts after a session. The first one is soon if the session had
// proven itself.
func (b *backoff) lost(proven bool) {
	b.started = time.Now()
	if proven {
		b.ceiling, b.hurries = firstRetry, mostHurries
	}
}

// hurry reports whether other masters may be tried at once.
func (b *backoff) hurry() bool {
	b.hurries--
	return b.hurries >= 0
}

// wait waits until the next attempt is due. It returns false if ctx is done first.
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

// interval returns a duration between a tenth of the ceiling and the ceiling,
// which then doubles.
func (b *backoff) interval() time.Duration {
	least := b.ceiling / 10
	interval := least + rand.N(b.ceiling-least)
	b.ceiling = min(2*b.ceiling, lastRetry)
	return interval
}

const (
	// The first Resync after a quiet time is sent, and answered, at once. Each later
	// one waits for an interval that starts here and grows up to lastResync.
	firstResync = time.Second
	lastResync  = time.Minute
)

// spacing spaces events that should be rare: the first one is immediate, and the
// interval to the next one doubles each time. A quiet time of twice the longest
// interval resets it. One goroutine may use it.
type spacing struct {
	first, most time.Duration // intervals

	last     time.Time // the last event; it may be in the future
	interval time.Duration
}

// next returns the time until the next event may happen.
func (s *spacing) next() time.Duration {
	now := time.Now()
	if s.last.IsZero() || now.Sub(s.last) >= 2*s.most {
		s.last, s.interval = now, s.first
		return 0
	}
	due := s.last.Add(s.interval)
	if due.Before(now) {
		due = now
	}
	s.last, s.interval = due, min(2*s.interval, s.most)
	return due.Sub(now)
}

const (
	orphanedAfter = 10 * time.Second
	orphanedAgain = time.Minute
)

// orphan is a scout that has lost its master. It logs this at intervals, whatever the
// attempts to reconnect are doing.
type orphan struct {
	log   *zap.Logger
	since time.Time

	mu      sync.Mutex
	failure error // of the last attempt
	alarm   *time.Timer
}

func newOrphan(log *zap.Logger) *orphan {
	o := &orphan{log: log, since: time.Now()}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alarm = time.AfterFunc(orphanedAfter, o.complain)
	return o
}

func (o *orphan) complain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.alarm == nil {
		return
	}
	o.alarm.Reset(orphanedAgain)
	o.log.Warn("orphaned", zap.Time("since", o.since),
		zap.Float64("seconds", time.Since(o.since).Seconds()), zap.NamedError("reason", o.failure))
}

// failed records why an attempt failed. A refusal is logged, once for each reason. The
// lack of an answer is logged by complain.
func (o *orphan) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	news := o.failure == nil || o.failure.Error() != err.Error()
	o.failure = err
	if news && errors.Is(err, errRefused) {
		o.log.Warn("registration refused", zap.NamedError("reason", err))
		return
	}
	o.log.Debug("attempt failed", zap.Error(err))
}

// found ends the logging.
func (o *orphan) found() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alarm.Stop()
	o.alarm = nil
}
