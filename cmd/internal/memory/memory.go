// Package memory configures the memory of a program, and tells whether there is
// room for more. It does not know what the program keeps there.
package memory

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// garbagePercent is how much garbage there may be, in percent of the memory in
// use. Go's own default is 100. Most memory holds names, which contain no
// pointers, and the programs allocate little, so frequent collections are cheap.
const garbagePercent = 30

// settledPercent is the same for a program that has made what it keeps.
const settledPercent = 10

// Settle allows even less garbage than Tune, because from now on the program
// allocates little.
func Settle() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(settledPercent)
	}
}

// Tune configures Go's garbage collector: little garbage, unless GOGC says
// otherwise, and the memory limit of the container, if there is one. GOMEMLIMIT
// goes before that limit; AUTOMEMLIMIT changes it.
func Tune(log *zap.Logger) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if _, err := memlimit.Set(); err != nil {
		log.Debug("memory limit unknown", zap.Error(err))
	}
}

// fullAt is the part of the memory limit from which on there is no room. The
// rest is for changes of the present contents.
const fullAt = 0.8

// Room returns an error that says why there is no room for more, or nil. Without
// a limit, which is GOMEMLIMIT or the container's, there always is room.
func Room() error {
	limit, used := usage()
	if limit == math.MaxInt64 || float64(used) < fullAt*float64(limit) {
		return nil
	}
	return fmt.Errorf("memory is short: %d of %d MiB are in use (raise the memory limit of the container, or GOMEMLIMIT)",
		used>>20, limit>>20)
}

// usage returns the limit, and the memory in use that the next collection would
// not free: the heap that the last collection left, and stacks.
func usage() (limit, used uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/gomemlimit:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() + samples[2].Value.Uint64()
}
