package master

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
	"scout/internal/throttle"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// Sequence is a totally ordered sequence of messages that scoutmasters share. It
// may lose what it has acknowledged, and be made anew.
type Sequence interface {
	// Append adds a message, and returns before it is there. Messages that all
	// arrive are in the order of the calls. After an error the message may be in the
	// sequence all the same, now or later.
	Append(message []byte) error
	// Follow delivers all messages from a position on, in order and as many at once
	// as there are, until ctx is done or deliver returns an error, which it returns.
	// ErrGap says that the sequence does not have the next message any more, and
	// ErrRewritten that it is not the one that was made then, or has other messages
	// than those that were delivered. The messages are valid until deliver returns.
	Follow(ctx context.Context, made, from uint64, deliver func(position uint64, messages [][]byte) error) error
	Bounds(ctx context.Context) (Bounds, error)
}

// Bounds are the positions of the first and the last message of a Sequence. An
// empty one has First = Last + 1. A sequence that was made anew has another Made.
type Bounds struct{ Made, First, Last uint64 }

// ErrRewritten says that a Sequence was made anew, or has gone back in time.
var ErrRewritten = errors.New("the log was made anew or has gone back in time")

// Peers are the other scoutmasters of the fleet.
type Peers interface {
	Reach
	// State yields the Parts of the State of one of them that is ready. It yields an
	// error when there is none.
	State(ctx context.Context) iter.Seq2[*scoutv1.StatePart, error]
}

// Sharing says how a scoutmaster takes part in a fleet.
type Sharing struct {
	Sequence           Sequence
	Peers              Peers
	Name, URL, Version string
	Address            string // where the requests of Peers reach it
	// Heartbeat is how often it says that it lives, and Deadline the silence after
	// which it is lost. CutOff is how long without its own word from the log until
	// it is not ready.
	Heartbeat, Deadline, CutOff time.Duration
}

const (
	// appendTimeout is how long an entry may take to come back until it is appended
	// again.
	appendTimeout = 2 * time.Second
	// stillTime is how long nothing comes through a log that stands still, at least:
	// when it goes on, entries that are older than this are appended again at once.
	stillTime = 500 * time.Millisecond
	// partSize is about how many bytes of names an entry has.
	partSize = 64 << 10
	// inFlight is how many parts of an Update are appended before the first of them
	// has come back.
	inFlight = 32
	// askAgain is how long to wait before the other scoutmasters are asked again.
	askAgain = 250 * time.Millisecond
	// straysMemory is how long after a list has differed from another it is to
	// differ again for the log to be rebuilt, and rebuildAgain how long after an
	// epoch has begun another may begin for that reason.
	straysMemory = time.Minute
	rebuildAgain = 5 * time.Minute
	// foreignLines is how often foreign messages are logged.
	foreignLines = time.Minute
)

// participant is what a Registry needs to take part in a fleet.
type participant struct {
	Sharing
	registry *Registry
	shared   *shared
	log      *zap.Logger
	anew     wake.Signal // the scoutmaster has begun anew, and is unknown to the others

	// The scoutmaster says nothing of itself any more once quiet was called, and
	// silent is closed then.
	quiet   context.CancelFunc
	quieted context.Context
	silent  chan struct{}

	readyChanged wake.Broadcast

	foreign throttle.Limiter
	ignored atomic.Uint64 // foreign messages

	mu        sync.Mutex // may be taken while the Registry is locked, and not the other way round
	proven    time.Time  // when the scoutmaster's own word came back last
	said      time.Time  // when it said that
	cutOff    bool
	asked     written           // its own word that has not come back yet
	askedAt   time.Time         // when it said that first
	came      time.Time         // when entries came last
	flowed    time.Duration     // how long entries have come since askedAt
	behind    bool              // they have come for too long without its own word
	ready     bool              // the State is another's, or of an epoch, and its own word has come back
	leaving   bool              // it lets no scouts in any more
	aside     error             // the log has an entry that this version does not know
	differing map[Instance]bool // scoutmasters that had another list than this one
	strayed   bool              // the list differs from that of the others
	strayedAt time.Time         // when that was so last
	begunAt   time.Time         // the epoch
	// The State follows the log: it does not wait for another's.
	following bool
	position  uint64        // at the last heartbeat
	stood     time.Time     // since when it is that
	patience  time.Duration // how long it is to be that until another epoch begins
	why       string        // it would begin

	// Only beat uses these:
	heard   map[Instance]sign
	judged  time.Time     // when the others were judged last
	audible time.Duration // how long they could be heard so far
}

// Share returns the Registry of a scoutmaster that shares its list with others.
// It takes part while Run runs.
func Share(l *listing.Listing, how Sharing, log *zap.Logger) *Registry {
	l.Watch() // for good: readers that watched another scoutmaster may resume here
	r := &Registry{logs: newScoutLogs(log), reach: how.Peers}
	r.state = newcomer(l, r)
	r.life = newLife(0)
	s := newShared(how.Sequence, r.state)
	r.log = s
	p := &participant{
		Sharing: how, registry: r, shared: s, log: log, heard: make(map[Instance]sign), anew: wake.NewSignal(), said: time.Now(),
		foreign: throttle.Limiter{Interval: foreignLines}, differing: make(map[Instance]bool), silent: make(chan struct{}),
		patience: how.Deadline,
	}
	p.quieted, p.quiet = context.WithCancel(context.Background())
	r.fleet = p
	return r
}

// Run takes part in the fleet until ctx is done. It does nothing for a scoutmaster
// that is alone.
func (r *Registry) Run(ctx context.Context) error {
	if r.fleet == nil {
		<-ctx.Done()
		return nil
	}
	now := time.Now()
	r.fleet.mu.Lock()
	r.fleet.proven, r.fleet.said, r.fleet.stood, r.fleet.begunAt = now, now, now, now
	r.fleet.mu.Unlock()
	var parts sync.WaitGroup
	parts.Go(func() { r.fleet.follow(ctx) })
	parts.Go(func() {
		defer close(r.fleet.silent)
		r.fleet.beat(ctx)
	})
	parts.Wait()
	return nil
}

// ForeignMessages returns how many messages have come through the log that are no
// entries of the fleet.
func (r *Registry) ForeignMessages() uint64 {
	if r.fleet == nil {
		return 0
	}
	return r.fleet.ignored.Load()
}

// Ready returns why the list must not be served now, or nil.
func (r *Registry) Ready() error {
	if r.fleet == nil {
		return nil
	}
	r.fleet.watchCutOff() // after a pause nobody else may have noticed yet
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	switch {
	case r.fleet.aside != nil:
		return r.fleet.aside
	case r.fleet.cutOff:
		return ErrCutOff
	case !r.fleet.ready:
		return ErrNoState
	case r.fleet.behind:
		return ErrBehind
	}
	return nil
}

// admits returns why scouts are not let in now, or nil.
func (r *Registry) admits() error {
	if r.fleet != nil && r.fleet.isLeaving() {
		return &stream.NotServingError{Reason: stopping}
	}
	return r.Ready()
}

// ReadyChanged returns a channel that is closed when Ready may return something
// else than before the call.
func (r *Registry) ReadyChanged() <-chan struct{} {
	if r.fleet == nil {
		return nil
	}
	return r.fleet.readyChanged.Wait()
}

// Parts is [State.Parts] of this scoutmaster's State, for another's Peers.
func (r *Registry) Parts(limit int, form uint32) iter.Seq[*scoutv1.StatePart] {
	return r.state.Parts(limit, form)
}

// Probe asks a session of this scoutmaster for a sign of life, for another's Reach.
func (r *Registry) Probe(ctx context.Context, id SessionID) bool {
	m := r.member(id)
	return m != nil && m.peer.Probe(ctx)
}

// Errors of Ready.
var (
	ErrCutOff  error = &stream.NotServingError{Reason: "nothing comes through the log of this scoutmaster", Cause: roster.ErrCutOff}
	ErrNoState error = &stream.NotServingError{Reason: "this scoutmaster does not know the state of its fleet yet", Cause: roster.ErrNoState}
	ErrBehind  error = &stream.NotServingError{Reason: "this scoutmaster lags behind the log", Cause: roster.ErrBehind}
)

// Stop says that the scoutmaster leaves: its scouts' files stay listed while they
// move. The sessions have ended when it returns, and neither they nor the
// scoutmaster write anything any more. It goes on following the log, so that its
// readers may finish. The error says that the other scoutmasters may not know. A
// scoutmaster that is alone has nobody to say it to.
func (r *Registry) Stop(ctx context.Context) error {
	if r.fleet == nil {
		return nil
	}
	r.fleet.setLeaving()
	defer r.endSessions(stopping)
	return r.fleet.leave(ctx)
}

// stopping is why the sessions of a scoutmaster end that leaves.
const stopping = "this scoutmaster is stopping"

// leave says that the scoutmaster leaves, after everything else that it says.
func (p *participant) leave(ctx context.Context) error {
	p.quiet()
	select {
	case <-p.silent:
	case <-ctx.Done():
		return ctx.Err()
	}
	_, id := p.registry.self()
	for p.registry.state.serialOf(id.Instance) > 0 {
		err := p.say(ctx, new(Leaving))
		if _, now := p.registry.self(); err == nil || now != id {
			return nil // it has left, or was taken for lost
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil // nobody knows it
}

func (p *participant) setLeaving() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = true
}

func (p *participant) isLeaving() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.leaving
}

func (p *participant) setUnready() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready {
		p.ready = false
		p.readyChanged.Wake()
	}
}

// self returns what the scoutmaster's own entries begin with.
func (r *Registry) self() (epoch uint64, id SessionID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.life.epoch, SessionID{Instance: r.life.instance}
}

// endSessions ends the sessions of this scoutmaster, and begins anew.
func (r *Registry) endSessions(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.beginAnew(r.life.epoch, reason)
}

var _ stream.Registry = (*Registry)(nil)
