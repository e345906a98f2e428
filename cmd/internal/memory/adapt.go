package memory

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// busyPercent is how much garbage there may be while collections cost more than
	// dear of one core. They cost little when memory holds names; the goroutines and
	// the connections of many scouts cost much.
	busyPercent = 75
	dear        = 0.10
	// After collections have cost less than cheap for calmTime, there may be as little
	// garbage as before. They would then cost less than dear.
	cheap    = 0.02
	calmTime = 5 * time.Second
	// adaptEvery is how often the cost is looked at.
	adaptEvery = 500 * time.Millisecond
)

// Adapt allows more garbage than Tune while collections cost much processor time,
// until ctx is done. It does nothing if GOGC is set.
func Adapt(ctx context.Context) error {
	if os.Getenv("GOGC") != "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(adaptEvery)
	defer tick.Stop()
	var b balance
	now, before := garbagePercent, collecting()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		spent := collecting()
		percent := b.percent((spent - before) / adaptEvery.Seconds())
		if before = spent; percent != now {
			debug.SetGCPercent(percent)
			now = percent
		}
	}
}

// collecting returns how many seconds of processor time collections have cost,
// without that which nobody else wanted.
func collecting() float64 {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
	}
	metrics.Read(samples)
	return samples[0].Value.Float64() + samples[1].Value.Float64()
}

// balance weighs memory against processor time.
type balance struct {
	busy bool
	calm time.Duration // so far, while busy
}

// percent returns how much garbage there may be, now that collections have cost this
// share of one core during adaptEvery.
func (b *balance) percent(cost float64) int {
	switch {
	case cost >= dear:
		b.busy, b.calm = true, 0
	case cost >= cheap:
		b.calm = 0
	default:
		b.calm += adaptEvery
	}
	if b.calm >= calmTime {
		b.busy = false
	}
	if b.busy {
		return busyPercent
	}
	return garbagePercent
}
