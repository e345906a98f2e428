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
	// provenAfter is how long a session must last so that the next attempt after
	// it comes soon again. Sessions that end earlier count as failed attempts, or
	// else a proxy that cuts every stream would be asked without end.
	provenAfter = 10 * time.Second
)

// backoff spaces the starts of attempts: exponentially, so that a master that
// is gone for long is not pestered, and with jitter, so that the scouts that
// lost it together do not come back together.
type backoff struct {
	started time.Time     // when the last attempt began
	ceiling time.Duration // of the next interval
	hurries int           // how often other masters may be tried at once
}

// mostHurries is how often a scout goes on to another master at once before a
// session must have proven itself.
const mostHurries = 3

func newBackoff() *backoff { return &backoff{ceiling: firstRetry, hurries: mostHurries} }

// lost begins the attempts after a session. The first one comes soon if the
// session had proven itself, and as late as any if the master did not want what
// the scout shows: it will not for a while.
func (b *backoff) lost(lasted time.Duration, unwanted bool) {
	b.started = time.Now()
	if lasted >= provenAfter {
		b.ceiling, b.hurries = firstRetry, mostHurries
	}
	if unwanted {
		b.ceiling, b.hurries = lastRetry, 0
	}
}

// hurry reports whether other masters may be tried at once.
func (b *backoff) hurry() bool {
	b.hurries--
	return b.hurries >= 0
}

// wait returns when the next attempt is due. It returns false when ctx was done
// first.
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
	// The first Resync of a quiet time is sent, and followed, at once. Each later
	// one comes at least so long after the one before it, up to lastResync.
	firstResync = time.Second
	lastResync  = time.Minute
)

// spacing spaces events that should be rare: the first comes at once, and the
// interval to the next doubles each time. It is forgotten after a quiet time of
// twice the longest interval. One goroutine may use it.
type spacing struct {
	first, most time.Duration // intervals

	last     time.Time // the last event; it may be in the future
	interval time.Duration
}

// next returns how long the next event has to wait.
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

// orphan is a scout that has lost its master. It complains of that from time to
// time, whatever the attempts to find the master are up to.
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

// failed notes why an attempt failed. A refusal is an answer, and logged, once
// for the same one; that nothing answers is what complain is for.
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

// found ends the complaints.
func (o *orphan) found() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.alarm.Stop()
	o.alarm = nil
}
