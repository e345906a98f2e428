package cli

import (
	"context"
	"os"
	"syscall"

	"go.uber.org/zap"
)

// untilSignal returns a context that the first signal cancels. The second
// signal exits at once: whoever sends it has waited long enough. The caller
// must call stop, which waits for the goroutine that listens.
func untilSignal(signals <-chan os.Signal, log *zap.Logger, exit func(int)) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for told := false; ; told = true {
			select {
			case <-done:
				return
			case sig := <-signals:
				if told {
					log.Warn("stopping at once", zap.Stringer("signal", sig))
					exit(exitSignal(sig))
					return
				}
				log.Info("stopping", zap.Stringer("signal", sig))
				cancel()
			}
		}
	}()
	return ctx, func() {
		close(done)
		<-ended
		cancel()
	}
}

// exitSignal is the exit code of a process that a signal ended, as shells
// report it.
func exitSignal(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return 128 + int(number)
	}
	return exitError
}
