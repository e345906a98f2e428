package master

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
	"scout/internal/wake"
	scoutv1 "scout/proto/scout/v1"
)

// Sequence is a totally ordered sequence of messages that scoutmasters share. It
// may lose what it has acknowledged, and be made anew.
type Sequence interface {
	// Append adds a message. After an error the message may be in the sequence all
	// the same, now or later. It may return before the message is there.
	Append(ctx context.Context, message []byte) error
	// Follow delivers each message from a position on, in order, until ctx is done or
	// deliver returns an error, which it returns. ErrGap says that the sequence does
	// not have the next message any more, and ErrRewritten that it has others than
	// those that were delivered.
	Follow(ctx context.Context, from uint64, deliver func(position uint64, message []byte) error) error
	// Bounds returns the positions of the first and the last message. An empty
	// sequence has first = last + 1.
	Bounds(ctx context.Context) (first, last uint64, err error)
}

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
	// partSize is about how many bytes of names an entry has.
	partSize = 64 << 10
	// askAgain is how long to wait before the other scoutmasters are asked again.
	askAgain = 250 * time.Millisecond
)

// shared is the log of a scoutmaster that shares its list.
type shared struct {
	sequence Sequence

	mu      sync.Mutex
	waiting map[written]chan error // for what has become of entries of this scoutmaster
}

// written identifies an entry.
type written struct {
	session SessionID
	serial  uint64
}

// Append appends the entry, and waits for it to come back.
func (l *shared) Append(ctx context.Context, e *Entry) error {
	message, err := encode(e)
	if err != nil {
		return err
	}
	w, outcome := written{e.Session, e.Serial}, make(chan error, 1)
	l.mu.Lock()
	l.waiting[w] = outcome
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.waiting, w)
		l.mu.Unlock()
	}()
	timed, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	l.sequence.Append(timed, message) //nolint:errcheck // it may be in the log all the same
	select {
	case err := <-outcome:
		return err
	case <-timed.Done():
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return ErrUncertain
	}
}

// settle tells the writer of an entry what has become of it.
func (l *shared) settle(e *Entry, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if outcome := l.waiting[written{e.Session, e.Serial}]; outcome != nil {
		select {
		case outcome <- err:
		default: // it came twice
		}
	}
}

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

	mu      sync.Mutex // may be taken while the Registry is locked, and not the other way round
	proven  time.Time  // when the scoutmaster's own word came back last
	cutOff  bool
	ready   bool  // the State is another's, or of an epoch, and its own word has come back
	strayed bool  // its list differs from another's
	aside   error // why the scoutmaster cannot follow the log, or nil
	// The State follows the log: it does not wait for another's.
	following bool
	position  uint64    // at the last heartbeat
	stood     time.Time // since when it is that

	heard map[Instance]sign // only beat uses it
}

// sign is the last sign of life of a scoutmaster.
type sign struct {
	position uint64
	at       time.Time // when it was noticed
}

// Share returns the Registry of a scoutmaster that shares its list with others.
// It takes part while Run runs.
func Share(l *listing.Listing, how Sharing, log *zap.Logger) *Registry {
	l.Watch() // for good: readers that watched another scoutmaster may resume here
	r := &Registry{logs: newScoutLogs(log), reach: how.Peers, parts: partSize}
	r.state = newcomer(l, r)
	r.life = newLife(0)
	s := &shared{sequence: how.Sequence, waiting: make(map[written]chan error)}
	r.log = s
	p := &participant{
		Sharing: how, registry: r, shared: s, log: log, heard: make(map[Instance]sign), anew: wake.NewSignal(),
		silent: make(chan struct{}),
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
	r.fleet.proven, r.fleet.stood = time.Now(), time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.fleet.follow(ctx) })
	group.Go(func() error {
		defer close(r.fleet.silent)
		return r.fleet.beat(ctx)
	})
	return group.Wait()
}

// Ready returns why the list must not be served now, or nil.
func (r *Registry) Ready() error {
	if r.fleet == nil {
		return nil
	}
	r.fleet.mu.Lock()
	defer r.fleet.mu.Unlock()
	switch {
	case r.fleet.aside != nil:
		return r.fleet.aside
	case r.fleet.cutOff:
		return ErrCutOff
	case !r.fleet.ready:
		return ErrNoState
	}
	return nil
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
func (r *Registry) Parts(limit int) iter.Seq[*scoutv1.StatePart] { return r.state.Parts(limit) }

// Probe asks a session of this scoutmaster for a sign of life, for another's Reach.
func (r *Registry) Probe(ctx context.Context, id SessionID) bool {
	m := r.member(id)
	return m != nil && m.peer.Probe(ctx)
}

// Errors of Ready.
var (
	ErrCutOff  error = &stream.NotServingError{Reason: "nothing comes through the log of this scoutmaster", Cause: roster.ErrCutOff}
	ErrNoState error = &stream.NotServingError{Reason: "this scoutmaster does not know the state of its fleet yet", Cause: roster.ErrNoState}
)

// Stop says that the scoutmaster leaves: its scouts' files stay listed while they
// move. The sessions have ended when it returns, and neither they nor the
// scoutmaster write anything any more. The error says that the other scoutmasters
// may not know. A scoutmaster that is alone has nobody to say it to.
func (r *Registry) Stop(ctx context.Context) error {
	if r.fleet == nil {
		return nil
	}
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
			return nil //nolint:nilerr // it has left, or was taken for lost
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil // nobody knows it
}

// follow applies what comes through the log.
func (p *participant) follow(ctx context.Context) error {
	state := p.registry.state
	if err := p.start(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		p.setFollowing(true)
		err := p.Sequence.Follow(ctx, state.Position()+1, p.deliver)
		p.setFollowing(false)
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, ErrRewritten):
			p.log.Warn("log rebuilt", zap.String("reason", err.Error()))
			p.rewind(ctx)
		case errors.Is(err, ErrGap), errors.Is(err, errStrayed):
			p.catchUp(ctx)
		default:
			p.standAside(ctx, err)
		}
	}
	return nil
}

// standAside ends the scoutmaster's part in the fleet: it cannot apply what is in
// the log, so that it knows nothing of what comes behind. Another version has to
// take its place.
func (p *participant) standAside(ctx context.Context, why error) {
	p.quiet()
	p.mu.Lock()
	p.aside = &stream.NotServingError{Reason: why.Error(), Cause: roster.ErrCutOff}
	p.readyChanged.Wake()
	p.mu.Unlock()
	p.log.Error("cut off", zap.String("reason", why.Error()))
	p.registry.endSessions(why.Error())
	<-ctx.Done()
}

// stray has the scoutmaster take another's state.
func (p *participant) stray(m *scoutmaster, position uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strayed = true
	p.log.Error("list differs", zap.String("name", m.tick.Name), zap.Uint64("position", position))
}

// logMaster logs that another scoutmaster has come or gone.
func (p *participant) logMaster(m *scoutmaster) {
	name := zap.String("name", m.tick.Name)
	switch m.phase {
	case masterLive:
		p.log.Info("scoutmaster joined", name, zap.String("url", m.tick.URL), zap.String("version", m.tick.Version))
	case masterLeaving:
		p.log.Info("scoutmaster lost", name, zap.String("reason", "scoutmaster stopping"))
	case masterLost:
		p.log.Warn("scoutmaster lost", name, zap.String("reason", "silent past deadline"))
	case masterBuried:
	}
}

// errStrayed: the list differs from another scoutmaster's at one position.
var errStrayed = errors.New("the list differs from another scoutmaster's")

// deliver applies one message.
func (p *participant) deliver(position uint64, message []byte) error {
	e, err := decode(message)
	if err != nil {
		e = noEntry
	}
	err = p.registry.state.Apply(position, e)
	if errors.Is(err, ErrGap) || errors.Is(err, ErrUnknown) {
		return err
	}
	p.shared.settle(e, err)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strayed {
		p.strayed = false
		return errStrayed
	}
	return nil
}

// start takes the state of another scoutmaster. Where there is none, it replays
// what the log has.
func (p *participant) start(ctx context.Context) error {
	for end := time.Now().Add(p.Deadline); ; {
		if p.take(ctx) {
			return nil
		}
		first, last, err := p.Sequence.Bounds(ctx)
		if err == nil && (first > last || time.Now().After(end)) {
			p.registry.state.Rewritten(first - 1)
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(askAgain):
		}
	}
}

// catchUp takes the state of another scoutmaster. Without one the log goes on
// with another epoch.
func (p *participant) catchUp(ctx context.Context) {
	p.setReady(false)
	for end := time.Now().Add(p.Deadline); ctx.Err() == nil && !p.take(ctx); {
		if time.Now().After(end) {
			p.rewind(ctx)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
}

// take takes the state of another scoutmaster, and reports whether there was one.
func (p *participant) take(ctx context.Context) bool {
	return p.registry.state.Restore(p.Peers.State(ctx)) == nil
}

// rewind has the State follow the log from its first message on, which does not
// continue what the State knows.
func (p *participant) rewind(ctx context.Context) {
	p.setReady(false)
	for ctx.Err() == nil {
		if first, _, err := p.Sequence.Bounds(ctx); err == nil {
			p.registry.state.Rewritten(first - 1)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
}

func (p *participant) setFollowing(following bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.following = following
}

func (p *participant) setReady(ready bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ready != ready {
		p.ready = ready
		p.readyChanged.Wake()
	}
}

// beat says at each heartbeat that the scoutmaster lives, and judges the others.
func (p *participant) beat(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.quieted, cancel)()
	tick := time.NewTicker(p.Heartbeat)
	defer tick.Stop()
	for {
		p.once(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-p.anew:
		}
	}
}

func (p *participant) once(ctx context.Context) {
	state := p.registry.state
	if p.idle() {
		p.begin(ctx)
	}
	if _, adrift := state.progress(); adrift {
		p.watchCutOff()
		return
	}
	digest, at := state.digestNow()
	_, self := p.registry.self()
	err := p.say(ctx, &Tick{Name: p.Name, URL: p.URL, Version: p.Version, Address: p.Address, Position: at, Digest: digest, Revision: state.list.Current().Revision})
	if err == nil {
		p.prove(self.Instance)
		p.judge(ctx)
	}
	p.watchCutOff()
}

// idle reports whether the log has no epoch, and nothing has come through it for a
// heartbeat.
func (p *participant) idle() bool {
	position, adrift := p.registry.state.progress()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !adrift || !p.following || position != p.position {
		p.position, p.stood = position, time.Now()
	}
	return time.Since(p.stood) >= p.Heartbeat
}

// say appends an entry of the scoutmaster itself. Only beat calls it, and leave
// after it.
func (p *participant) say(ctx context.Context, body Body) error {
	epoch, id := p.registry.self()
	e := &Entry{Epoch: epoch, Session: id, Serial: p.registry.state.serialOf(id.Instance) + 1, Body: body}
	return p.registry.log.Append(ctx, e)
}

// begin begins an epoch, as nothing comes through a log that has none.
func (p *participant) begin(ctx context.Context) {
	before, known := p.registry.state.epochs()
	epoch := max(known+1, uint64(time.Now().UnixMilli()))
	p.registry.log.Append(ctx, &Entry{Epoch: epoch, Body: &Begin{Before: before}}) //nolint:errcheck // tried again
}

// prove notes that the scoutmaster's own word has come back, as that instance.
func (p *participant) prove(as Instance) {
	p.registry.mu.Lock() // it does not begin anew meanwhile
	defer p.registry.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registry.life.instance != as {
		return
	}
	if p.cutOff || !p.ready {
		p.log.Info("caught up", zap.Uint64("revision", p.registry.state.list.Current().Revision),
			zap.Float64("seconds", time.Since(p.proven).Seconds()))
	}
	changed := p.cutOff || !p.ready
	p.proven, p.cutOff, p.ready = time.Now(), false, true
	if changed {
		p.readyChanged.Wake()
	}
}

// watchCutOff ends the sessions when nothing has come through the log for too
// long: their scouts go elsewhere.
func (p *participant) watchCutOff() {
	p.mu.Lock()
	silence := time.Since(p.proven)
	cut := !p.cutOff && silence >= p.CutOff
	p.cutOff = p.cutOff || cut
	p.mu.Unlock()
	if cut {
		p.readyChanged.Wake()
		p.log.Error("cut off", zap.Float64("seconds", silence.Seconds()))
		p.registry.endSessions("nothing comes through the log of this scoutmaster")
	}
}

// judge suspects the scoutmasters of which nothing has come for the deadline, and
// buries those that are lost. The scoutmaster's own word has just come back, so
// everything that the others have said before is known.
func (p *participant) judge(ctx context.Context) {
	now := time.Now()
	seen := make(map[Instance]sign, len(p.heard))
	_, self := p.registry.self()
	for _, m := range p.registry.state.scoutmasters() {
		last, known := p.heard[m.instance]
		if !known || last.position != m.heard {
			last = sign{position: m.heard, at: now}
		}
		silence := now.Sub(last.at)
		switch {
		case m.instance == self.Instance:
		case m.phase != masterLive && silence >= 2*p.Deadline:
			p.say(ctx, &Buried{m.instance}) //nolint:errcheck // tried again
		case m.phase != masterLive || silence < p.Deadline:
		case m.suspected == 0:
			p.say(ctx, &Suspect{m.instance}) //nolint:errcheck // tried again
		case silence >= p.Deadline+p.Heartbeat:
			p.say(ctx, &Lost{m.instance, m.suspected}) //nolint:errcheck // tried again
		}
		seen[m.instance] = last
	}
	p.heard = seen
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

// epochs returns the current epoch, and the latest that an entry was of.
func (s *State) epochs() (current, latest uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, max(s.epoch, s.wanted)
}

// progress returns the position, and whether nothing counts until an epoch has
// begun.
func (s *State) progress() (position uint64, adrift bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position, s.adrift
}

// digestNow returns the digest of the list, and the position that it is of.
func (s *State) digestNow() (digest, position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digest, s.position
}

// serialOf returns the serial of the last entry of a scoutmaster that counted.
func (s *State) serialOf(i Instance) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.masters[i]; m != nil {
		return m.serial
	}
	return 0
}

// scoutmasters returns those that take part, as they are now.
func (s *State) scoutmasters() []scoutmaster {
	s.mu.Lock()
	defer s.mu.Unlock()
	masters := make([]scoutmaster, 0, len(s.masters))
	for _, m := range s.masters {
		masters = append(masters, *m)
	}
	return masters
}

var _ stream.Registry = (*Registry)(nil)
