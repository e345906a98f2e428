package main

import (
	"fmt"
	"math"
	"runtime/metrics"
)

// fullAt is the part of the memory limit from which on nothing more is taken
// in. What is beyond is for what is listed to change, and to be served.
const fullAt = 0.8

// memoryRoom says why there is no memory for more, or nil. Without a limit,
// which is GOMEMLIMIT or the container's, there always is.
func memoryRoom() error {
	limit, used := memory()
	if limit == math.MaxInt64 || float64(used) < fullAt*float64(limit) {
		return nil
	}
	return fmt.Errorf("memory is short: %d of %d MiB are in use (raise the memory limit of the container, or GOMEMLIMIT)",
		used>>20, limit>>20)
}

// memory returns the limit and what is in use: the heap that the last
// collection left, which the next one would not free, and stacks.
func memory() (limit, used uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/gomemlimit:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64()
}
