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
	// the connections of many scouts cost much. With more stacks than names there may
	// be crowdedPercent.
	busyPercent    = 75
	crowdedPercent = 150
	dear           = 0.10
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
	now, before := garbagePercent, measure().spent
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m := measure()
		percent := b.percent((m.spent-before)/adaptEvery.Seconds(), m.stacks > m.live)
		if before = m.spent; percent != now {
			debug.SetGCPercent(percent)
			now = percent
		}
	}
}

// measured is what collections have cost, and what they leave.
type measured struct {
	spent        float64 // seconds of processor time, without those that nobody else wanted
	live, stacks uint64  // bytes
}

func measure() measured {
	samples := []metrics.Sample{
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/cpu/classes/gc/mark/dedicated:cpu-seconds"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	return measured{
		spent: samples[0].Value.Float64() + samples[1].Value.Float64(),
		live:  samples[2].Value.Uint64(), stacks: samples[3].Value.Uint64(),
	}
}

// balance weighs memory against processor time.
type balance struct {
	busy bool
	calm time.Duration // so far, while busy
}

// percent returns how much garbage there may be, now that collections have cost this
// share of one core during adaptEvery, and whether stacks are most of the memory.
func (b *balance) percent(cost float64, crowded bool) int {
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
	switch {
	case !b.busy:
		return garbagePercent
	case crowded:
		return crowdedPercent
	}
	return busyPercent
}
