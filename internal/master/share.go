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

// sign is the last sign of life of a scoutmaster.
type sign struct {
	position uint64
	at       time.Duration // when it was noticed, in audible time
}

// Share returns the Registry of a scoutmaster that shares its list with others.
// It takes part while Run runs.
func Share(l *listing.Listing, how Sharing, log *zap.Logger) *Registry {
	l.Watch() // for good: readers that watched another scoutmaster may resume here
	r := &Registry{logs: newScoutLogs(log), reach: how.Peers}
	r.state = newcomer(l, r)
	r.life = newLife(0)
	s := &shared{sequence: how.Sequence, state: r.state, waiting: make(map[written]chan error)}
	r.log = s
	p := &participant{
		Sharing: how, registry: r, shared: s, log: log, heard: make(map[Instance]sign), anew: wake.NewSignal(), said: time.Now(),
		foreign: throttle.Limiter{Interval: foreignLines}, differing: make(map[Instance]bool), silent: make(chan struct{}),
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

// follow applies what comes through the log.
func (p *participant) follow(ctx context.Context) {
	p.start(ctx)
	for ctx.Err() == nil {
		err := p.followOnce(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, errTaken):
		case errors.Is(err, ErrRewritten):
			p.rewind(ctx, err.Error())
		case errors.Is(err, ErrUnknown):
			p.standAside()
		case errors.Is(err, errStrayed) && p.strayedAgain():
			p.setUnready()
			p.begin("the lists of several scoutmasters differ")
		default: // of ErrGap: entries are missing
			p.catchUp(ctx)
		}
	}
}

// errTaken: the scoutmaster has taken the state of another.
var errTaken = errors.New("the state is another scoutmaster's")

// followOnce applies what comes through the log. As long as nothing of it counts,
// it asks the other scoutmasters for their state.
func (p *participant) followOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var seeking sync.WaitGroup
	defer seeking.Wait()
	defer cancel(nil)
	seeking.Go(func() {
		if p.seek(ctx) {
			cancel(errTaken)
		}
	})
	p.setFollowing(true)
	defer p.setFollowing(false)
	made, position := p.registry.state.follows()
	err := p.Sequence.Follow(ctx, made, position+1, p.deliver)
	if errors.Is(context.Cause(ctx), errTaken) {
		return errTaken
	}
	return err
}

// seek takes the state of another scoutmaster, unless an epoch begins before. It
// reports whether it has.
func (p *participant) seek(ctx context.Context) bool {
	for {
		if _, adrift := p.registry.state.progress(); !adrift {
			return false
		}
		if p.take(ctx) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(askAgain):
		}
	}
}

// compared notes whether another scoutmaster had the same list. One whose list
// differs from those of most others has strayed; of two that differ, the one with
// the greater instance.
func (p *participant) compared(m *scoutmaster, own Instance, position uint64, same bool, live int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if same {
		delete(p.differing, m.instance)
		return
	}
	p.differing[m.instance] = true
	alike := live - len(p.differing)
	p.log.Error("list differs", zap.String("name", m.tick.Name), zap.Uint64("position", position))
	p.strayed = len(p.differing) > alike || len(p.differing) == alike && m.instance < own
}

// strayedAgain reports whether the state of another scoutmaster has not helped: a
// list differs again, and the epoch is not new.
func (p *participant) strayedAgain() bool {
	mayRebuild := p.mayRebuild()
	p.mu.Lock()
	defer p.mu.Unlock()
	again := !p.strayedAt.IsZero() && time.Since(p.strayedAt) < straysMemory
	p.strayedAt = time.Now()
	return again && mayRebuild
}

// begun notes that another epoch has begun, or that the State is another's.
func (p *participant) begun(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strayed = false
	clear(p.differing)
	if reason != "" {
		p.begunAt, p.strayedAt = time.Now(), time.Time{}
		p.log.Warn("log rebuilt", zap.String("reason", reason))
	}
}

// standAside has the scoutmaster wait until it understands the fleet: until it has
// the state of another, or another epoch has begun.
func (p *participant) standAside() {
	why := ErrUnknown.Error()
	p.log.Error("cut off", zap.String("reason", why))
	p.mu.Lock()
	p.aside = &stream.NotServingError{Reason: why, Cause: roster.ErrCutOff}
	p.readyChanged.Wake()
	p.mu.Unlock()
	made, position := p.registry.state.follows()
	p.drift(made, position, p.Deadline, "no scoutmaster has the state")
	p.registry.endSessions(why)
}

// drift lets nothing count that comes after a position of a log, until the State is
// another's, or an epoch has begun. If nothing comes for so long, this scoutmaster
// begins one.
func (p *participant) drift(made, position uint64, patience time.Duration, why string) {
	p.mu.Lock()
	p.patience, p.why, p.stood = patience, why, time.Now()
	p.mu.Unlock()
	p.registry.state.Rewritten(made, position)
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
	if m.phase != masterLive {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.differing, m.instance)
	}
}

// errStrayed: the list differs from those of the other scoutmasters.
var errStrayed = errors.New("the list differs from another scoutmaster's")

// deliver applies messages.
func (p *participant) deliver(position uint64, messages [][]byte) error {
	entries := make([]*Entry, len(messages))
	for i, message := range messages {
		e, err := decode(message)
		if err != nil {
			p.ignore(position+uint64(i), len(message))
			e = noEntry
		}
		entries[i] = e
	}
	outcomes, err := p.registry.state.ApplyAll(position, entries)
	for i, outcome := range outcomes {
		p.shared.settle(entries[i], outcome)
	}
	p.shared.note()
	p.flow()
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.strayed {
		p.strayed = false
		return errStrayed
	}
	return nil
}

// flow notes that entries have come. While they do and the scoutmaster's own word does
// not come back among them, it lags behind the log. A pause of the log, in which nobody
// lags, counts for a heartbeat at most.
func (p *participant) flow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	since, now := p.came, time.Now()
	if p.askedAt.After(since) {
		since = p.askedAt
	}
	p.came = now
	if p.askedAt.IsZero() {
		return
	}
	p.flowed += min(now.Sub(since), p.Heartbeat)
	if p.late() && p.ready && !p.cutOff && !p.leaving && !p.behind {
		p.behind = true
		p.log.Warn("behind", zap.Float64("seconds", now.Sub(p.askedAt).Seconds()))
		p.readyChanged.Wake()
	}
}

// late reports whether the scoutmaster's own word takes longer than the deadline to come
// back. Two heartbeats more are for a word that was lost, and is said again.
func (p *participant) late() bool { return p.flowed >= p.Deadline+2*p.Heartbeat }

// ask notes that the scoutmaster says something, perhaps again.
func (p *participant) ask(word written) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.askedAt.IsZero() || p.asked != word {
		p.asked, p.askedAt, p.flowed = word, time.Now(), 0
	}
}

// ignore notes a message that is no entry of the fleet.
func (p *participant) ignore(position uint64, size int) {
	p.ignored.Add(1)
	if withheld, ok := p.foreign.Allow(); ok {
		p.log.Warn("foreign message ignored", zap.Uint64("position", position), zap.Int("bytes", size), zap.Int("withheld", withheld))
	}
}

// start takes the state of another scoutmaster. Where there is none, it replays
// what the log has.
func (p *participant) start(ctx context.Context) {
	for end := time.Now().Add(p.Deadline); ctx.Err() == nil && !p.take(ctx); {
		log, err := p.Sequence.Bounds(ctx)
		if err == nil && (log.First > log.Last || time.Now().After(end)) {
			p.replay(log, "no scoutmaster has the state")
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
}

// replay has the State follow the log from its first message on. Where the log is
// whole and no epoch begins in it, nobody is in one.
func (p *participant) replay(log Bounds, why string) {
	patience := p.Deadline
	if log.First <= 1 {
		patience = p.Heartbeat
	}
	p.drift(log.Made, log.First-1, patience, why)
}

// catchUp takes the state of another scoutmaster. Without one the log goes on
// with another epoch.
func (p *participant) catchUp(ctx context.Context) {
	p.setUnready()
	for end := time.Now().Add(p.Deadline); ctx.Err() == nil && !p.take(ctx); {
		if time.Now().After(end) {
			p.rewind(ctx, "no scoutmaster has the state")
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(askAgain):
		}
	}
}

// take takes the state of another scoutmaster that follows the log as it is now, and
// reports whether there was one. A state that contradicts itself helps nobody:
// another epoch begins.
func (p *participant) take(ctx context.Context) bool {
	log, err := p.Sequence.Bounds(ctx)
	if err == nil {
		err = p.registry.state.Restore(log.Made, p.Peers.State(ctx))
	}
	if errors.Is(err, errUnsound) && p.mayRebuild() {
		p.begin(err.Error())
	}
	return err == nil
}

// mayRebuild reports whether the epoch is old enough for another one.
func (p *participant) mayRebuild() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.begunAt) >= rebuildAgain
}

// rewind has the State follow the log from its first message on, which does not
// continue what the State knows.
func (p *participant) rewind(ctx context.Context, why string) {
	p.setUnready()
	for ctx.Err() == nil {
		if log, err := p.Sequence.Bounds(ctx); err == nil {
			p.replay(log, why)
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

// beat says at each heartbeat that the scoutmaster lives, and judges the others.
func (p *participant) beat(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.quieted, cancel)()
	tick := time.NewTicker(p.Heartbeat)
	defer tick.Stop()
	for {
		p.once(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-p.anew:
		}
	}
}

func (p *participant) once(ctx context.Context) {
	if _, adrift := p.registry.state.progress(); adrift {
		if why, idle := p.idle(ctx); idle {
			p.begin(why)
		}
		p.watchCutOff()
		return
	}
	digest, at := p.registry.state.digestNow()
	_, self := p.registry.self()
	p.ask(written{self, p.registry.state.serialOf(self.Instance) + 1})
	err := p.say(ctx, &Tick{
		Name: p.Name, URL: p.URL, Version: p.Version, Address: p.Address,
		Position: at, Digest: digest, Revision: p.registry.state.list.Current().Revision, Reads: formatRead,
	})
	if err == nil {
		p.prove(self.Instance)
		p.judge(ctx)
	}
	p.watchCutOff()
}

// idle reports whether nothing has come through the log for long enough, though the
// log has answered all the time, and why another epoch is to begin then.
func (p *participant) idle(ctx context.Context) (why string, idle bool) {
	ctx, cancel := context.WithTimeout(ctx, appendTimeout)
	defer cancel()
	log, err := p.Sequence.Bounds(ctx)
	position, _ := p.registry.state.progress()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil || !p.following || log.Last > position || position != p.position {
		p.position, p.stood = position, time.Now()
	}
	return p.why, p.following && time.Since(p.stood) >= p.patience
}

// say appends an entry of the scoutmaster itself. Only beat calls it, and leave
// after it. It waits no longer than for a heartbeat, so that a log that stood still is
// noticed to go on as soon as that, and a scoutmaster that is cut off notices it.
func (p *participant) say(ctx context.Context, body Body) error {
	epoch, id := p.registry.self()
	e := &Entry{Epoch: epoch, Session: id, Serial: p.registry.state.serialOf(id.Instance) + 1, Body: body}
	return p.shared.appendWithin(ctx, e, min(appendTimeout, max(p.Heartbeat, stillTime)))
}

// begin begins an epoch.
func (p *participant) begin(why string) {
	before, known := p.registry.state.epochs()
	epoch := max(known+1, uint64(time.Now().UnixMilli()))
	message, err := encode(&Entry{Epoch: epoch, Body: &Begin{Before: before, Reason: why}})
	if err == nil {
		p.Sequence.Append(message) //nolint:errcheck // tried again
	}
}

// prove notes that the scoutmaster's own word has come back, as that instance. It is
// ready if that has not taken too long.
func (p *participant) prove(as Instance) {
	p.registry.mu.Lock() // it does not begin anew meanwhile
	defer p.registry.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.registry.life.instance != as || !p.following {
		return
	}
	proven, late, changed := p.proven, p.late(), p.cutOff || !p.ready || p.behind
	p.proven, p.said, p.askedAt, p.flowed = time.Now(), p.askedAt, time.Time{}, 0
	if late || !changed {
		return
	}
	p.cutOff, p.aside, p.ready, p.behind = false, nil, true, false
	p.log.Info("caught up", zap.Uint64("revision", p.registry.state.list.Current().Revision),
		zap.Float64("seconds", time.Since(proven).Seconds()))
	p.readyChanged.Wake()
}

// lag is the time since the scoutmaster said what has come back to it last.
func (p *participant) lag() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.said)
}

// watchCutOff ends the sessions when nothing has come through the log for too
// long: their scouts go elsewhere.
func (p *participant) watchCutOff() {
	p.mu.Lock()
	silence := time.Since(p.proven)
	cut := !p.cutOff && p.aside == nil && !p.proven.IsZero() && silence >= p.CutOff
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
//
// Silence counts as long as that word comes back each heartbeat. When the log has
// stood still, the others and their scouts have as long as ever from then on.
func (p *participant) judge(ctx context.Context) {
	now := time.Now()
	p.audible += min(now.Sub(p.judged), 2*p.Heartbeat)
	p.judged = now
	seen := make(map[Instance]sign, len(p.heard))
	_, self := p.registry.self()
	for _, m := range p.registry.state.scoutmasters() {
		last, known := p.heard[m.instance]
		if !known || last.position != m.heard {
			last = sign{position: m.heard, at: p.audible}
		}
		silence := p.audible - last.at
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

var _ stream.Registry = (*Registry)(nil)
