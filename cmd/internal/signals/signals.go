// Package signals stops a program, or has it read its credentials again, as the
// system's signals say. It knows nothing of what the program does.
package signals

import (
	"os"
	"os/signal"
	"syscall"

	"go.uber.org/zap"
)

// Notify returns the signals for [Handle] that this process receives from now on.
func Notify() <-chan os.Signal {
	// The second signal must be received while the first one is handled.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE) // the program goes on without a reader of its log
	return signals
}

// Handle calls reload for each SIGHUP, stop for the first signal to stop, and exit
// for the second: whoever sends it has waited long enough. It goes on as long as the
// process. reload may be nil.
func Handle(signals <-chan os.Signal, log *zap.Logger, reload, stop func(), exit func(code int)) {
	stopping := false
	for sig := range signals {
		switch {
		case sig == syscall.SIGHUP:
			if reload != nil {
				reload()
			}
		case stopping:
			log.Warn("stopping at once", zap.Stringer("signal", sig))
			exit(128 + int(sig.(syscall.Signal))) // as shells report it
		default:
			stopping = true
			log.Info("stopping", zap.Stringer("signal", sig))
			stop()
		}
	}
}
