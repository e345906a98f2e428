// Package systemd tells the service manager when a program is ready, alive and
// stopping. Without a service manager it does nothing. It does not know what
// the programs do.
package systemd

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// Service reports the state of this process to the service manager.
type Service struct {
	// Check, if any, runs before each sign of life. When it does not return, the
	// manager's watchdog ends the process.
	Check func()
	Log   *zap.Logger

	notify   func(state string) // nil: the manager of this process
	watchdog time.Duration      // 0: what the manager asks for

	ready sync.Once
	mu    sync.Mutex
	beat  time.Time
}

// Beat records that the program works. The first Beat reports that it is ready.
// Any goroutine may call it. It does not block.
func (s *Service) Beat() {
	s.mu.Lock()
	s.beat = time.Now()
	s.mu.Unlock()
	s.ready.Do(func() { s.tell(daemon.SdNotifyReady) })
}

// Run sends signs of life until ctx is done, as long as the last Beat is younger
// than the watchdog's limit. It then reports that the program is stopping.
func (s *Service) Run(ctx context.Context) error {
	defer s.tell(daemon.SdNotifyStopping)
	limit := s.limit()
	if limit <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(limit / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			s.sign(limit)
		}
	}
}

// sign sends a sign of life unless the program is stuck.
func (s *Service) sign(limit time.Duration) {
	if s.Check != nil {
		s.Check()
		s.Beat()
	}
	s.mu.Lock()
	quiet := time.Since(s.beat)
	ready := !s.beat.IsZero()
	s.mu.Unlock()
	if ready && quiet >= limit {
		s.Log.Warn("stuck", zap.Duration("since", quiet))
		return
	}
	s.tell(daemon.SdNotifyWatchdog)
}

// limit is how long the manager waits for a sign of life; 0: no watchdog.
func (s *Service) limit() time.Duration {
	if s.watchdog > 0 {
		return s.watchdog
	}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.Log.Warn("service manager unreachable", zap.Error(err))
		return 0
	}
	return limit
}

func (s *Service) tell(state string) {
	if s.notify != nil {
		s.notify(state)
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.Log.Warn("service manager unreachable", zap.Error(err))
	}
}
