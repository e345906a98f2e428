// Package alloctest measures allocations. They do not depend on the speed of the
// machine, so tests can assert bounds on them.
package alloctest

import "runtime"

// Cost returns how often one run of f allocates, and how many bytes: the mean
// of a few runs, after one that does not count.
func Cost(f func()) (allocs, bytes float64) {
	const runs = 5
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nothing else allocates meanwhile
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}
