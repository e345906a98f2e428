package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	grpcbackoff "google.golang.org/grpc/backoff"

	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/throttle"
)

const (
	// registerBound is how long an attempt to register may take, connecting
	// included, and how long a round of attempts at several addresses should take.
	registerBound = 4 * time.Second
	// Where there are several addresses, an attempt at one of them may take less
	// time, and at least so much: at the first registration, which must not take
	// long, and later.
	leastAtFirst = time.Second
	leastLater   = 2 * time.Second
	// startBound is how long the first registration may take if names have to be
	// resolved, and resolveBound how long each later round waits for that.
	startBound   = 9500 * time.Millisecond
	resolveBound = 4 * time.Second
	// slowAnswer is how long a Welcome or an address may take before that is worth
	// a line in the log, at most one in each waitInterval.
	slowAnswer   = 2 * time.Second
	waitInterval = time.Minute
)

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
	// Dialer knows where the scoutmasters are. Run closes it.
	Dialer *dial.Dialer
	// Credentials returns what secures a connection. It is called for each attempt.
	Credentials func() ([]grpc.DialOption, error)
	Log         *zap.Logger
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
	defer s.Dialer.Close()
	l := &lasting{
		Scout: s, clock: clock, retry: newBackoff(),
		resyncs:   throttle.Limiter{Interval: lineInterval},
		waits:     throttle.Limiter{Interval: waitInterval},
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
	resyncs, waits throttle.Limiter
	snapshots      throttle.Latest
}

func (l *lasting) run(ctx context.Context) error {
	session, err := l.start(ctx)
	for err == nil {
		began := time.Now()
		lost := session.run(ctx)
		if ctx.Err() != nil {
			break
		}
		l.recorder().MasterLost()
		session.log.Warn("master lost", zap.String("master", session.target.Master), zap.NamedError("reason", lost))
		l.retry.lost(time.Since(began), errors.Is(lost, errUnwanted))
		session, err = l.reconnect(ctx, session.target)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the scout was told to stop, and has
	}
	return err
}

// start registers for the first time, at the first address where that succeeds.
// It takes no longer than registerBound, and startBound if names have to be
// resolved.
func (l *lasting) start(ctx context.Context) (*scoutSession, error) {
	limit := time.Now().Add(startBound)
	targets, err := l.targets(ctx, limit)
	if err != nil {
		return nil, err
	}
	if due := time.Now().Add(registerBound); due.Before(limit) {
		limit = due
	}
	var failures failures
	for i, target := range targets {
		left := time.Until(limit)
		if left <= 0 {
			break
		}
		session, err := l.register(ctx, target, min(left, max(leastAtFirst, left/time.Duration(len(targets)-i))))
		if err == nil {
			return session, nil
		}
		failures.add(target, err)
	}
	return nil, failures.err()
}

// reconnect tries until a master accepts the scout again. The others than the one
// that was lost are tried at once. The only error is that ctx was done first.
func (l *lasting) reconnect(ctx context.Context, lost dial.Target) (*scoutSession, error) {
	orphan := newOrphan(l.Log.With(zap.String("master", l.masters())))
	defer orphan.found()
	for hurry := l.retry.hurry(); hurry || l.retry.wait(ctx); hurry = false {
		except := dial.Target{}
		if hurry {
			except = lost
		}
		session, err := l.round(ctx, except)
		if session != nil {
			return session, nil
		}
		if err != nil && ctx.Err() == nil {
			orphan.failed(err)
		}
	}
	return nil, ctx.Err()
}

// round tries each address once, except one. It returns nothing if there is no
// other.
func (l *lasting) round(ctx context.Context, except dial.Target) (*scoutSession, error) {
	l.pulse()
	targets, err := l.targets(ctx, time.Now().Add(resolveBound))
	if err != nil {
		return nil, err
	}
	var failures failures
	bound := max(leastLater, registerBound/time.Duration(len(targets)))
	for _, target := range targets {
		if target.Address == except.Address || ctx.Err() != nil {
			continue
		}
		l.pulse()
		session, err := l.register(ctx, target, bound)
		if err == nil {
			return session, nil
		}
		failures.add(target, err)
	}
	return nil, failures.err()
}

// targets returns the addresses to try. It waits for names until limit.
func (l *lasting) targets(ctx context.Context, limit time.Time) ([]dial.Target, error) {
	ctx, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	defer l.sayIfSlow("address")()
	targets, err := l.Dialer.Targets(ctx)
	if err != nil {
		return nil, unresolved(l.masters(), err)
	}
	return targets, nil
}

func (l *lasting) masters() string { return strings.Join(l.Dialer.Masters, ",") }

// sayIfSlow says in the log that something is awaited, unless the function that
// it returns is called soon.
func (l *lasting) sayIfSlow(awaited string) func() {
	timer := time.AfterFunc(slowAnswer, func() {
		if withheld, ok := l.waits.Allow(); ok {
			l.Log.Warn("waiting for the scoutmaster", zap.String("master", l.masters()), zap.String("awaited", awaited),
				zap.Float64("seconds", slowAnswer.Seconds()), withheldField(withheld))
		}
	})
	return func() { timer.Stop() }
}

// register opens a session within the bound: a new connection, a Hello, and the
// Welcome to it.
func (l *lasting) register(ctx context.Context, target dial.Target, bound time.Duration) (*scoutSession, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, bound, fmt.Errorf("%w within %v", errNoAnswer, bound.Round(time.Millisecond)))
	defer cancel()
	defer l.sayIfSlow("welcome")()
	session, err := openSession(ctx, target, l)
	if err != nil {
		return nil, explain(target.String(), err)
	}
	l.recorder().Registered()
	session.log.Info("registered", zap.String("master", target.Master), address(target),
		zap.Duration("heartbeat", session.heartbeat), zap.Duration("deadline", session.deadline))
	return session, nil
}

// address is the address that a master's name stands for.
func address(t dial.Target) zap.Field {
	if t.Address == t.Master {
		return zap.Skip()
	}
	return zap.String("address", t.Address)
}

// failures are why a round came to nothing: one for each master.
type failures []failure

type failure struct {
	master string
	err    error
}

// add notes a failed attempt. Of the addresses of one master the last one counts,
// unless an earlier one has answered: that says more.
func (f *failures) add(t dial.Target, err error) {
	for i, known := range *f {
		if known.master == t.Master {
			if !errors.Is(known.err, errRefused) {
				(*f)[i].err = err
			}
			return
		}
	}
	*f = append(*f, failure{t.Master, err})
}

// err returns all of them on one line, or nil. It wraps each.
func (f failures) err() error {
	var all error
	for _, failed := range f {
		if all == nil {
			all = failed.err
		} else {
			all = fmt.Errorf("%w; %w", all, failed.err)
		}
	}
	return all
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
