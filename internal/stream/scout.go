package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"scout/internal/files"
)

// registerBound is how long an attempt to register may take, connecting
// included. It is less than lastRetry, so that attempts do begin that often.
const registerBound = 4 * time.Second

// Directory is the directory as a session sees it.
type Directory interface {
	// View is what is known of the directory now. It is cheap, and for the same
	// state of the directory its Set is the same pointer.
	View() files.View
	// Changed is a channel of one that has something in it when View may have
	// changed since it was last emptied: the time of the first such change.
	Changed() <-chan time.Time
	// Rescan has the directory looked at, whatever was noticed of it so far. The
	// channel is closed when View has all that was there at the call, for which
	// there has to be a Set; until then, it stays open.
	Rescan() <-chan struct{}
}

// Scout is the scout's end: it keeps the master told of what Directory shows, in
// one session after another.
type Scout struct {
	Origin    files.Origin
	Version   string
	Directory Directory
	Master    string // where the scoutmaster is, for people
	// Dial makes a new connection for each attempt, so that grpc's own backoff
	// never adds to the scout's. It must not block.
	Dial func() (*grpc.ClientConn, error)
	Log  *zap.Logger
	// Recorder counts what is done; nil: nobody does.
	Recorder ScoutRecorder
	// Pulse is called as the scout's work goes on, from its registration on: every
	// few seconds, unless a message waits for the network. It returns at once.
	// nil: nobody wants to know.
	Pulse func()
}

// Run registers and stays registered until ctx is done; then it deregisters and
// returns nil within a second. Only the first registration can fail: the error,
// within seconds, is one line that says what is wrong and what to do. Whatever
// comes later is logged, and tried again until it works.
func (s *Scout) Run(ctx context.Context) error {
	if err := checkHello(hello(s).GetHello()); err != nil {
		return fmt.Errorf("no scoutmaster would register this scout: %w", err)
	}
	return s.run(ctx, newAwake(scoutTick))
}

func (s *Scout) run(ctx context.Context, clock *awake) error {
	ticking, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { clock.run(ticking) })
	defer ticker.Wait()
	defer stop()
	return s.stay(ctx, clock)
}

// stay is Run with a clock that ticks.
func (s *Scout) stay(ctx context.Context, clock *awake) error {
	session, err := s.register(ctx, clock)
	for err == nil {
		lost := session.run(ctx)
		if ctx.Err() != nil {
			break
		}
		s.recorder().MasterLost()
		s.Log.Warn("master lost", zap.String("master", s.Master), zap.String("session", session.id), zap.NamedError("reason", lost))
		session, err = s.reconnect(ctx, clock, errors.Is(lost, errUnwanted))
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the scout was told to stop, and has
	}
	return err
}

func (s *Scout) pulse() {
	if s.Pulse != nil {
		s.Pulse()
	}
}

func (s *Scout) recorder() ScoutRecorder {
	if s.Recorder == nil {
		return unrecorded{}
	}
	return s.Recorder
}

// register opens a session: a new connection, a Hello, and the Welcome to it.
func (s *Scout) register(ctx context.Context, clock *awake) (*scoutSession, error) {
	conn, err := s.Dial()
	if err != nil {
		return nil, fmt.Errorf("scoutmaster at %s: %w", s.Master, err)
	}
	session, err := openSession(ctx, conn, s, clock)
	if err != nil {
		return nil, explain(s.Master, err)
	}
	s.recorder().Registered()
	s.Log.Info("registered", zap.String("master", s.Master), zap.String("session", session.id),
		zap.Duration("heartbeat", session.heartbeat), zap.Duration("deadline", session.deadline))
	return session, nil
}

// reconnect tries until the master accepts the scout again. The only error is
// that ctx was done first.
func (s *Scout) reconnect(ctx context.Context, clock *awake, unwanted bool) (*scoutSession, error) {
	orphan := newOrphan(s.Log.With(zap.String("master", s.Master)))
	defer orphan.found()
	for retry := newBackoff(unwanted); retry.wait(ctx); {
		s.pulse()
		session, err := s.register(ctx, clock)
		if err == nil {
			return session, nil
		}
		if ctx.Err() == nil {
			orphan.failed(err)
		}
	}
	return nil, ctx.Err()
}
