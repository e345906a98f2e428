//go:build linux

package main

import (
	"slices"
	"time"
)

// quantile returns the value below which the part q of all lie.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(all []float64) float64 { return quantile(all, 0.5) }

// times lists durations in seconds.
func inSeconds(all []time.Duration) []float64 {
	s := make([]float64, len(all))
	for i, d := range all {
		s[i] = d.Seconds()
	}
	return s
}
