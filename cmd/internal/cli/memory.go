package cli

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"go.uber.org/zap"
)

// limitMemory makes Go's collector keep this process within the limit of its
// container, if there is one: see GOMEMLIMIT, which goes before, and
// AUTOMEMLIMIT.
func limitMemory(log *zap.Logger) {
	if _, err := memlimit.Set(); err != nil {
		log.Debug("memory limit unknown", zap.Error(err))
	}
}
