package watch

import (
	"time"

	"go.uber.org/zap"

	"scout/internal/throttle"
)

// rescanDelays are how long to wait between the rescans after events may have
// been lost: none at first, and then until it has been quiet.
var rescanDelays = []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}

const (
	// recoveryShare is the share of the time that goes into rescans while events
	// keep being lost.
	recoveryShare = 0.1
	// recoveryCredit is the time that may go into rescans before that counts.
	recoveryCredit = time.Second
)

// recovery schedules rescans after events may have been lost, until none was for
// a while.
type recovery struct {
	log     *zap.Logger
	timer   *time.Timer // fires when it is time for a rescan
	budget  *throttle.Budget
	active  bool
	next    int  // the place of the next rescan among rescanDelays
	again   bool // more may have been lost since the last rescan began
	rescans int
	limited bool // the budget was used up, and that was logged
}

func newRecovery(log *zap.Logger) *recovery {
	r := &recovery{log: log, timer: time.NewTimer(time.Hour), budget: throttle.NewBudget(recoveryShare, recoveryCredit)}
	r.timer.Stop()
	return r
}

// lost is called when events may have been lost.
func (r *recovery) lost() {
	r.again = true
	if !r.active {
		r.log.Warn("events lost")
		r.active, r.limited, r.rescans, r.next = true, false, 0, 0
		r.schedule()
	}
}

// begin is called when a rescan begins.
func (r *recovery) begin() { r.again = false }

// end is called when a rescan has taken that long.
func (r *recovery) end(took time.Duration) {
	if !r.active {
		return
	}
	r.rescans++
	r.budget.Spend(took)
	r.next++
	if r.again {
		r.next = 1
	}
	if r.next == len(rescanDelays) {
		r.active = false
		r.log.Info("events caught up", zap.Int("looks", r.rescans))
		return
	}
	r.schedule()
}

func (r *recovery) schedule() {
	delay := rescanDelays[r.next]
	if wait := r.budget.Wait(0); wait > delay {
		delay = wait
		if !r.limited {
			r.limited = true
			r.log.Warn("events lost again and again", zap.Duration("next_look", wait))
		}
	}
	r.timer.Reset(delay)
}

func (r *recovery) stop() { r.timer.Stop() }
