// Package guard measures what does not depend on the machine's mood, so that
// tests can hold it to a bound anywhere.
package guard

import "runtime"

// Cost returns how often one run of f allocates, and how many bytes: the mean
// of a few runs after a first one.
func Cost(f func()) (allocs, bytes float64) {
	const runs = 5
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else allocates meanwhile
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}
