package cli

import (
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// garbage is how much memory may be taken by what is not used any more, in
// percent of what is. What the programs hold is nearly all names, in which the
// collector has nothing to look for, and they allocate little: it is cheap to
// let it run more often than Go's own 100 would.
const garbage = 30

// tuneMemory tells Go's collector what it is to keep to: little garbage, unless
// GOGC says otherwise, and the limit of the container that the process is in, if
// there is one: see GOMEMLIMIT, which goes before, and AUTOMEMLIMIT.
func tuneMemory(log *zap.Logger, getenv func(string) string) {
	if getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	if _, err := memlimit.Set(); err != nil {
		log.Debug("memory limit unknown", zap.Error(err))
	}
}
