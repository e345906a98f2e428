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
	// registerBound is the maximum time of the first registration, including the
	// connection. Later it is that of a connection, and the intended time of the
	// connections of a round over several addresses.
	registerBound = 4 * time.Second
	// welcomeBound is how long a scout waits later for the Welcome of a master that it
	// is connected to. When a scoutmaster dies, all its scouts come to the others at
	// once. A scout that gave up soon would have to be let in again elsewhere, and the
	// other scouts would wait for that. It is longer than an election of NATS.
	welcomeBound = 10 * time.Second
	// With several addresses an attempt at one of them gets a part of that time, but
	// at least this: during the first registration, which must be fast, and later.
	leastAtFirst = time.Second
	leastLater   = 2 * time.Second
	// startBound is the maximum time of the first registration if names have to be
	// resolved. resolveBound is how long each later round waits for names.
	startBound   = 9500 * time.Millisecond
	resolveBound = 4 * time.Second
	// slowAnswer is the time after which a missing Welcome or address is logged, at
	// most once in each waitInterval.
	slowAnswer   = 2 * time.Second
	waitInterval = time.Minute
	// staleMargin is how long after twice the deadline a list may still have the files
	// of a scout that has lost its master, because scoutmasters are slow.
	staleMargin = time.Minute
)

// Directory is the watched directory as a session sees it.
type Directory interface {
	// View returns the current View of the directory. It is cheap. As long as the
	// files stay the same, its Set is the same pointer.
	View() files.View
	// Changed returns a channel of one. It receives the time of the first change of
	// View since the last receive.
	Changed() <-chan time.Time
	// Rescan reads the directory again, whatever events said. The channel is closed
	// when View has a Set with everything that was there at the time of the call.
	Rescan() <-chan struct{}
}

// ScoutRecorder counts events of a scout's sessions. Its methods must return at once.
type ScoutRecorder interface {
	// Registered: the master has accepted the scout.
	Registered()
	// MasterLost: the session has ended, but not by the scout.
	MasterLost()
	// SnapshotSent: a snapshot of this number of names and bytes was sent.
	SnapshotSent(names, bytes int, took time.Duration)
	// ChangeSent: a change was sent, this time after the scout learned of it.
	ChangeSent(added, removed, bytes int, age time.Duration)
	// ResyncRequested: the master's copy differed.
	ResyncRequested()
}

// unrecorded is a Recorder and a ScoutRecorder that count nothing.
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

// Scout is the scout's end of the protocol. It sends the files of Directory to the
// master, in one session after another.
type Scout struct {
	Origin    files.Origin
	Version   string
	Directory Directory
	// Dialer knows where the scoutmasters are. Run closes it.
	Dialer *dial.Dialer
	// Credentials returns the security options of a connection. It is called for each
	// attempt.
	Credentials func() ([]grpc.DialOption, error)
	Log         *zap.Logger
	// Recorder counts events; nil: nothing is counted.
	Recorder ScoutRecorder
	// Pulse is called every few seconds while the scout works, after its
	// registration, unless a message waits for the network. It must return at once.
	// nil: it is not called.
	Pulse func()
}

// Run registers the scout and keeps it registered until ctx is done. Then it
// deregisters and returns nil within a second. Only the first registration can fail:
// within seconds Run returns an error of one line with the cause and the remedy. Later
// failures are logged, and Run tries again until it succeeds.
func (s *Scout) Run(ctx context.Context) error {
	if err := checkHello(hello(s, new(sentStates)).GetHello()); err != nil {
		return fmt.Errorf("no scoutmaster would register this scout: %w", err)
	}
	return s.run(ctx, newAwakeClock(scoutTick))
}

// run is Run with the caller's clock. It also runs the clock.
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

// lasting is the state of a running Scout that outlasts its sessions.
type lasting struct {
	*Scout
	clock *awakeClock
	retry *backoff
	sent  sentStates
	// stale is when no list has the states in sent any more.
	stale time.Time

	// Limits of log lines that a master or a directory can cause.
	resyncs, waits throttle.Limiter
	snapshots      throttle.Latest
}

func (l *lasting) run(ctx context.Context) error {
	session, err := l.start(ctx)
	for err == nil {
		lost := session.run(ctx)
		if ctx.Err() != nil {
			break
		}
		l.recorder().MasterLost()
		session.log.Warn("master lost", zap.String("master", session.target.Master), zap.NamedError("reason", lost))
		l.retry.lost(session.isProven())
		l.stale = time.Now().Add(2*session.deadline + staleMargin)
		session, err = l.reconnect(ctx, session.target)
	}
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the scout was told to stop
	}
	return err
}

// start registers for the first time, at the first address that accepts the scout,
// unless one says that a live scout holds the origin: the others share its list. It
// takes at most registerBound, or startBound if names have to be resolved.
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
		if i == 0 { // however long the scout itself has paused until here
			left = max(left, leastAtFirst)
		}
		if left <= 0 {
			break
		}
		session, err := l.register(ctx, target, min(left, max(leastAtFirst, left/time.Duration(len(targets)-i))), 0)
		if err == nil {
			return session, nil
		}
		if errors.Is(err, errHeld) {
			return nil, err
		}
		failures.add(target, err)
	}
	return nil, failures.err()
}

// reconnect tries until a master accepts the scout again. It tries masters other than
// the lost one at once. It returns an error only if ctx is done first.
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

// round tries each address once, except one. It returns nil and no error if there is
// no other address.
func (l *lasting) round(ctx context.Context, except dial.Target) (*scoutSession, error) {
	l.pulse()
	if time.Now().After(l.stale) {
		l.sent.forget()
	}
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
		session, err := l.register(ctx, target, bound, welcomeBound)
		if err == nil {
			return session, nil
		}
		failures.add(target, err)
	}
	return nil, failures.err()
}

// targets returns the addresses to try. It waits for the resolution of names until
// limit.
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

// sayIfSlow logs that the scout waits, unless the returned function is called soon.
func (l *lasting) sayIfSlow(awaited string) func() {
	timer := time.AfterFunc(slowAnswer, func() {
		if withheld, ok := l.waits.Allow(); ok {
			l.Log.Warn("waiting for the scoutmaster", zap.String("master", l.masters()), zap.String("awaited", awaited),
				zap.Float64("seconds", slowAnswer.Seconds()), withheldField(withheld))
		}
	})
	return func() { timer.Stop() }
}

// register opens a session: a new connection, a Hello, and its Welcome. It fails after
// bound, or, if it is connected by then and welcome is not 0, after welcome from the
// connection on.
func (l *lasting) register(ctx context.Context, target dial.Target, bound, welcome time.Duration) (*scoutSession, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := giveUp(cancel, bound)
	defer func() { late.Stop() }()
	defer l.sayIfSlow("welcome")()
	connected := false
	session, err := openSession(ctx, target, l, func() {
		connected = true
		if welcome > 0 && late.Stop() {
			l.pulse()
			late = giveUp(cancel, welcome)
		}
	})
	switch {
	case connected && errors.Is(err, errNoAnswer):
		return nil, fmt.Errorf("scoutmaster at %s: %w (it is connected: see in its log whether its NATS servers answer, and that no firewall is between)", target, err)
	case err != nil:
		return nil, explain(target.String(), err)
	}
	l.recorder().Registered()
	session.log.Info("registered", zap.String("master", target.Master), address(target),
		zap.Duration("heartbeat", session.heartbeat), zap.Duration("deadline", session.deadline))
	return session, nil
}

// giveUp ends an attempt after a time.
func giveUp(cancel context.CancelCauseFunc, after time.Duration) *time.Timer {
	return time.AfterFunc(after, func() { cancel(fmt.Errorf("%w within %v", errNoAnswer, after.Round(time.Millisecond))) })
}

// address returns the field with the address that a master's name was resolved to.
func address(t dial.Target) zap.Field {
	if t.Address == t.Master {
		return zap.Skip()
	}
	return zap.String("address", t.Address)
}

// failures are the errors of a round, one for each master.
type failures []failure

type failure struct {
	master string
	err    error
}

// add records a failed attempt. The last address of a master counts, unless an
// earlier one has refused the scout, because that error says more.
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

// err returns one error of one line that wraps all of them, or nil.
func (f *failures) err() error {
	var all error
	for _, failed := range *f {
		if all == nil {
			all = failed.err
		} else {
			all = fmt.Errorf("%w; %w", all, failed.err)
		}
	}
	return all
}

// DialOptions returns the options that the protocol requires of a gRPC client. The
// caller adds credentials.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		// A connection is for one attempt, which ends before this timeout.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: grpcbackoff.DefaultConfig, MinConnectTimeout: 2 * registerBound}),
		grpc.WithDisableServiceConfig(), // saves a look-up of TXT records for each attempt
		// A master sends only short messages. With a fixed window the scout does not ask
		// for the speed of the connection with a ping at each of them, which would be
		// answered: twice the packets.
		grpc.WithInitialWindowSize(64 << 10),
	}
}
