package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"

	"scout/internal/files"
	"scout/internal/throttle"
)

// registerBound is how long an attempt to register may take, connecting
// included. It is less than lastRetry, so that attempts do begin that often.
const registerBound = 4 * time.Second

// Directory is the watched directory as a session sees it.
type Directory interface {
	// View is what is known of the directory now. It is cheap, and for the same
	// state of the directory its Set is the same pointer.
	View() files.View
	// Changed is a channel of one that has something in it when View may have
	// changed since it was last emptied: the time of the first such change.
	Changed() <-chan time.Time
	// Rescan has the directory read again, whatever was noticed of it so far. The
	// channel is closed when View has all that was there at the call, for which
	// there has to be a Set; until then, it stays open.
	Rescan() <-chan struct{}
}

// ScoutRecorder counts what a scout's session does. Its methods are called in
// the middle of its work: they return at once.
type ScoutRecorder interface {
	// Registered: the master has accepted the scout.
	Registered()
	// MasterLost: the session has ended, and not because the scout wanted it.
	MasterLost()
	// SnapshotSent: a whole list of so many names and bytes has gone out.
	SnapshotSent(names, bytes int, took time.Duration)
	// ChangeSent: a change has gone out, so long after it was learned.
	ChangeSent(added, removed, bytes int, age time.Duration)
	// ResyncRequested: the master's copy was not this scout's.
	ResyncRequested()
}

// unrecorded is a recorder of either kind for those who do not count.
type unrecorded struct{}

func (unrecorded) Refused(LeaveReason)                     {}
func (unrecorded) Left(LeaveReason)                        {}
func (unrecorded) Snapshot(int, int, time.Duration)        {}
func (unrecorded) Change(int, int, time.Duration)          {}
func (unrecorded) Resync()                                 {}
func (unrecorded) HeartbeatMissed()                        {}
func (unrecorded) Registered()                             {}
func (unrecorded) MasterLost()                             {}
func (unrecorded) SnapshotSent(int, int, time.Duration)    {}
func (unrecorded) ChangeSent(int, int, int, time.Duration) {}
func (unrecorded) ResyncRequested()                        {}

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
	// Recorder counts what is done; nil: nothing is counted.
	Recorder ScoutRecorder
	// Pulse is called as the scout's work goes on, from its registration on: every
	// few seconds, unless a message waits for the network. It returns at once.
	// nil: it is not called.
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
	return s.run(ctx, newAwakeClock(scoutTick))
}

// run is Run with a clock of the caller's, which it runs.
func (s *Scout) run(ctx context.Context, clock *awakeClock) error {
	ticking, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { clock.run(ticking) })
	defer ticker.Wait()
	defer stop()
	l := &lasting{
		Scout: s, clock: clock, retry: newBackoff(),
		resyncs:   throttle.Limiter{Interval: lineInterval},
		snapshots: throttle.Latest{Interval: time.Second},
	}
	defer l.snapshots.Flush()
	return l.run(ctx)
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

// lasting is a running Scout: what outlasts its sessions.
type lasting struct {
	*Scout
	clock *awakeClock
	retry *backoff

	// Limits of the lines that a master or a directory can cause.
	resyncs   throttle.Limiter
	snapshots throttle.Latest
}

func (l *lasting) run(ctx context.Context) error {
	session, err := l.register(ctx)
	for err == nil {
		began := time.Now()
		lost := session.run(ctx)
		if ctx.Err() != nil {
			break
		}
		l.recorder().MasterLost()
		l.Log.Warn("master lost", zap.String("master", l.Master), zap.String("session", session.id), zap.NamedError("reason", lost))
		l.retry.lost(time.Since(began), errors.Is(lost, errUnwanted))
		session, err = l.reconnect(ctx)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the scout was told to stop, and has
	}
	return err
}

// register opens a session: a new connection, a Hello, and the Welcome to it.
func (l *lasting) register(ctx context.Context) (*scoutSession, error) {
	conn, err := l.Dial()
	if err != nil {
		return nil, fmt.Errorf("scoutmaster at %s: %w", l.Master, err)
	}
	session, err := openSession(ctx, conn, l)
	if err != nil {
		return nil, explain(l.Master, err)
	}
	l.recorder().Registered()
	l.Log.Info("registered", zap.String("master", l.Master), zap.String("session", session.id),
		zap.Duration("heartbeat", session.heartbeat), zap.Duration("deadline", session.deadline))
	return session, nil
}

// reconnect tries until the master accepts the scout again. The only error is
// that ctx was done first.
func (l *lasting) reconnect(ctx context.Context) (*scoutSession, error) {
	orphan := newOrphan(l.Log.With(zap.String("master", l.Master)))
	defer orphan.found()
	for l.retry.wait(ctx) {
		l.pulse()
		session, err := l.register(ctx)
		if err == nil {
			return session, nil
		}
		if ctx.Err() == nil {
			orphan.failed(err)
		}
	}
	return nil, ctx.Err()
}

// DialOptions is what the protocol asks of a gRPC client. The caller adds
// credentials and the like.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A connection lasts for one attempt, which ends before this does.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: grpcbackoff.DefaultConfig, MinConnectTimeout: 2 * registerBound}),
		grpc.WithDisableServiceConfig(), // saves a look-up of TXT records for each attempt
	}
}
