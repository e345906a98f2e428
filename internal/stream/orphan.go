package stream

import (
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	orphanedAfter = 10 * time.Second
	orphanedAgain = time.Minute
)

// orphan is a scout that has lost its master. It complains of that from time to
// time, whatever the attempts to find it again are up to.
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
// for the same one; that nobody answers is what complain is for.
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
