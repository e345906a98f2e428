package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

// Garbage may pile up while collections cost much, and for a while after that.
func TestBalance(t *testing.T) {
	const calm = int(calmTime / adaptEvery)
	var b balance
	for i, step := range []struct {
		cost    float64
		crowded bool
		times   int
		want    int // after the last
	}{
		{dear / 2, false, 100, garbagePercent},
		{dear, false, 1, busyPercent},
		{cheap / 2, false, calm - 1, busyPercent},
		{cheap, false, 1, busyPercent}, // the calm starts again
		{cheap / 2, false, calm - 1, busyPercent},
		{cheap / 2, false, 1, garbagePercent},
		{dear / 2, false, 1, garbagePercent},
		{dear / 2, true, 1, garbagePercent},
		{2, false, 1, busyPercent},
		{2, true, 1, crowdedPercent},
		{cheap, true, 1, crowdedPercent},
		{cheap, false, 1, busyPercent},
	} {
		var got int
		for range step.times {
			got = b.percent(step.cost, step.crowded)
		}
		if got != step.want {
			t.Errorf("step %d: %d, want %d", i, got, step.want)
		}
	}
}

// list is garbage that is expensive to collect.
type list struct{ next *list }

// Adapt measures what collections cost.
func TestAdapt(t *testing.T) {
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(garbagePercent)
	defer debug.SetGCPercent(before)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Adapt(ctx) }()
	var kept *list
	for range 1_000_000 {
		kept = &list{kept}
	}
	for end := time.Now().Add(time.Minute); ; {
		for range 1_000_000 {
			kept = &list{kept.next}
		}
		now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(now)
		if now[0].Value.Uint64() == busyPercent {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("there may be %d percent of garbage", now[0].Value.Uint64())
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
