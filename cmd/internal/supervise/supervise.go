// Package supervise tells the system's service manager how a program is: when it
// is ready, that it is alive, and that it is stopping. Where there is no such
// manager it does nothing. It knows nothing of what the programs do.
package supervise

import (
	"context"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// Service is this process as its manager knows it.
type Service struct {
	// Check, if any, is made before each sign of life. One that does not return
	// is what the manager's watchdog is for.
	Check func()
	Log   *zap.Logger

	notify   func(state string) // nil: the manager of this process
	watchdog time.Duration      // 0: what the manager asks for

	ready sync.Once
	mu    sync.Mutex
	beat  time.Time
}

// Beat says that the program does its work, and at first that it is ready. It
// may be called by anyone, and returns at once.
func (s *Service) Beat() {
	s.mu.Lock()
	s.beat = time.Now()
	s.mu.Unlock()
	s.ready.Do(func() { s.say(daemon.SdNotifyReady) })
}

// Run gives the manager signs of life until ctx is done, as long as there was
// a Beat since it expected the last. Then it says that the program is stopping.
func (s *Service) Run(ctx context.Context) error {
	defer s.say(daemon.SdNotifyStopping)
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

// sign gives a sign of life, if there is one to give.
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
	s.say(daemon.SdNotifyWatchdog)
}

// limit is how long the manager waits for a sign of life; 0: it does not.
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

func (s *Service) say(state string) {
	if s.notify != nil {
		s.notify(state)
		return
	}
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.Log.Warn("service manager unreachable", zap.Error(err))
	}
}
