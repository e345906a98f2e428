package watch

import (
	"time"

	"go.uber.org/zap"
)

// retakes are how long to wait between looks everywhere after notifications may
// have been lost: at once, and then until it has been quiet.
var retakes = []time.Duration{0, 10 * time.Millisecond, 100 * time.Millisecond, time.Second}

const (
	// doubtShare is the part of the time that may go into looking everywhere
	// for as long as notifications go on being lost: one in so many.
	doubtShare = 10
	// doubtCredit is the time that may go into it before that counts.
	doubtCredit = time.Second
)

// doubt is about notifications that may have been lost. It schedules looks
// everywhere until nothing was lost for a while.
type doubt struct {
	log     *zap.Logger
	timer   *time.Timer // fires when it is time to look
	active  bool
	retake  int  // the next look's place among retakes
	again   bool // more may have been lost since the last look began
	credit  time.Duration
	since   time.Time // when the credit was last counted
	looks   int
	limited bool // the share was used up, and that was logged
}

func newDoubt(log *zap.Logger) *doubt {
	d := &doubt{log: log, timer: time.NewTimer(time.Hour), credit: doubtCredit, since: time.Now()}
	d.timer.Stop()
	return d
}

// raise is called when notifications may have been lost.
func (d *doubt) raise() {
	d.again = true
	if !d.active {
		d.log.Warn("events lost")
		d.active, d.limited, d.looks, d.retake = true, false, 0, 0
		d.schedule()
	}
}

// begin is called when a look everywhere begins.
func (d *doubt) begin() { d.again = false }

// end is called when it has taken that long.
func (d *doubt) end(took time.Duration) {
	if !d.active {
		return
	}
	d.looks++
	d.spend(took)
	d.retake++
	if d.again {
		d.retake = 1
	}
	if d.retake == len(retakes) {
		d.active = false
		d.log.Info("events caught up", zap.Int("looks", d.looks))
		return
	}
	d.schedule()
}

func (d *doubt) spend(took time.Duration) {
	now := time.Now()
	d.credit = min(doubtCredit, d.credit+now.Sub(d.since)/doubtShare) - took
	d.since = now
}

func (d *doubt) schedule() {
	wait := max(retakes[d.retake], -d.credit*doubtShare)
	if wait > retakes[d.retake] && !d.limited {
		d.limited = true
		d.log.Warn("events lost again and again", zap.Duration("next_look", wait))
	}
	d.timer.Reset(wait)
}

func (d *doubt) stop() { d.timer.Stop() }
