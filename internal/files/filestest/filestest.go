// Package filestest makes sets, trees, and the names of whole fleets of scouts,
// for tests and benchmarks.
package filestest

import (
	"slices"

	"scout/internal/files"
)

// Set returns the set of the names. They may be unsorted and repeated.
func Set(names ...string) *files.Set {
	var b files.Builder
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		b.Add([]byte(n))
	}
	return b.Set()
}
