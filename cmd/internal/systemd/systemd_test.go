package systemd

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// manager records the states that it is told.
type manager struct {
	mu     sync.Mutex
	states []string
}

func (m *manager) notify(state string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.states = append(m.states, state)
}

func (m *manager) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	states := m.states
	m.states = nil
	return states
}

func start(t *testing.T, s *Service) (m *manager, stop func()) {
	m = new(manager)
	s.Log, s.notify, s.watchdog = zap.NewNop(), m.notify, 30*time.Second
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return m, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Service)
		m, stop := start(t, s)
		expect := func(when string, want ...string) {
			t.Helper()
			synctest.Wait()
			if got := m.take(); !slices.Equal(got, want) {
				t.Errorf("%s: said %q, not %q", when, got, want)
			}
		}
		expect("before the start")
		s.Beat()
		s.Beat()
		expect("ready", "READY=1")
		time.Sleep(25 * time.Second)
		expect("at work", "WATCHDOG=1", "WATCHDOG=1")
		time.Sleep(time.Minute)
		expect("stuck")
		s.Beat()
		time.Sleep(10 * time.Second)
		expect("at work again", "WATCHDOG=1")
		stop()
		expect("stopping", "STOPPING=1")
	})
}

// A check that hangs stops the signs of life.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		checks := 0
		s := &Service{Check: func() {
			if checks++; checks == 3 {
				<-stuck
			}
		}}
		m, stop := start(t, s)
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := m.take(); !slices.Equal(got, []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"}) {
			t.Errorf("said %q", got)
		}
		close(stuck)
		stop()
	})
}

// The service manager's own protocol.
func TestSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", strconv.Itoa(30_000))
	s := &Service{Log: zap.NewNop()}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	s.Beat()
	go func() { ended <- s.Run(ctx) }()
	told := func() string {
		l.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 100)
		n, err := l.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	if got := told(); got != "READY=1" {
		t.Errorf("told first: %q", got)
	}
	for told() != "WATCHDOG=1" {
		s.Beat()
	}
	cancel()
	for told() != "STOPPING=1" {
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Without a manager nothing happens.
func TestAlone(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	t.Setenv("WATCHDOG_USEC", "")
	s := &Service{Log: zap.NewNop()}
	s.Beat()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Error(err)
	}
}
