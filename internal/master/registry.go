package master

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
)

// probeTimeout is how long the holder of an origin may take to answer when a
// newcomer asks for its place: long enough for a busy machine, short enough
// that the successor of a dead one is in within a second.
const probeTimeout = 750 * time.Millisecond

// Registry lets the scouts of this scoutmaster in, one at a time for an origin,
// and writes what their sessions say into the log. The State says what counts.
type Registry struct {
	state *State
	log   Log
	logs  *scoutLogs
	reach Reach        // nil for a scoutmaster that is alone
	fleet *participant // nil for a scoutmaster that is alone

	mu      sync.Mutex // may be taken while a State is locked, and not the other way round
	life    *life
	gone    gone // of the fleet
	ownGone gone // that were registered here
	lost    lostMasters
	left    recent[files.Origin, roster.Left]
	refused recent[refusal, roster.Refused]
}

// life is what a Registry is to its log from one beginning to the next: a
// scoutmaster that was taken for lost, or is in a new epoch, begins anew with
// another Instance, because none of its old entries counts any more. The
// Registry's mu guards what changes.
type life struct {
	epoch    uint64
	instance Instance
	ctx      context.Context // done when the life is over
	end      context.CancelFunc
	sessions uint64             // the number of the last session
	members  map[uint64]*member // by number
}

func newLife(epoch uint64) *life {
	l := &life{epoch: epoch, instance: Instance(rand.Uint64()), members: make(map[uint64]*member)}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// Reach asks something of the sessions at other scoutmasters.
type Reach interface {
	// Probe is [stream.Peer.Probe] of a session at the scoutmaster with an address.
	Probe(ctx context.Context, address string, id SessionID) bool
	// Rescan is [Registry.Rescan] of sessions at the scoutmaster with an address.
	Rescan(ctx context.Context, address string, i Instance, sessions []uint64) (Rescanned, error)
}

// Rescanned is what has become of a rescan at one scoutmaster: what the scouts of
// all sessions but those that are Unconfirmed have found is in the log at the
// Position.
type Rescanned struct {
	Epoch, Position uint64
	Unconfirmed     map[uint64]string // the reason, by session
}

// NewRegistry returns the Registry of a scoutmaster that is alone, without
// members.
func NewRegistry(l *listing.Listing, log *zap.Logger) *Registry {
	r := &Registry{logs: newScoutLogs(log)}
	r.state = NewState(l, r)
	r.life = newLife(l.Current().Epoch)
	r.log = newAlone(r.state)
	first := Entry{Epoch: r.life.epoch, Session: SessionID{Instance: r.life.instance}, Serial: 1, Body: new(Tick)}
	if err := r.log.Append(context.Background(), &first); err != nil {
		panic(err) // the first Tick of an epoch counts
	}
	return r
}

// Join registers a scout, see [stream.Registry]. A holder that does not answer
// at once when asked is a stale holder, and the newcomer takes its place.
func (r *Registry) Join(ctx context.Context, p stream.Peer) (stream.Member, error) {
	if err := r.admits(); err != nil {
		return nil, err
	}
	m := &member{registry: r, peer: p, log: r.logs.open(p.Origin)}
	r.enter(m)
	if err := m.join(ctx); err != nil {
		m.end()
		if r.state.find(m.id) != nil { // it has counted meanwhile
			go r.abandon(m.id)
		}
		if errors.Is(err, errNotCounted) || ctx.Err() == nil && m.life.ctx.Err() != nil { // the life is over
			return nil, ErrNoState
		}
		return nil, err
	}
	m.log.state(zap.InfoLevel, "scout registered", zap.String("session", p.Session),
		zap.String("version", p.Version), zap.String("address", p.Address), m.identity())
	m.keep()
	m.peer.Sent = nil // it would only cost memory
	return m, nil
}

// enter gives m a number.
func (r *Registry) enter(m *member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.life = r.life
	m.life.sessions++
	m.id = SessionID{m.life.instance, m.life.sessions}
	m.life.members[m.id.Number] = m
}

// probeHolder asks the holder of an origin for a sign of life. It returns a HeldError
// if the holder answers, and nil if it is stale, so that the newcomer replaces it.
func (r *Registry) probeHolder(ctx context.Context, holder *session, newcomer *member) error {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if r.probe(probe, holder.id) {
		held := &stream.HeldError{Origin: newcomer.peer.Origin, Holder: holder.String()}
		r.noteRefused(newcomer.peer, held.Holder)
		newcomer.log.registrationRefused(held.Holder, newcomer.peer.Address)
		return held
	}
	return ctx.Err()
}

// probe asks a session, wherever it is.
func (r *Registry) probe(ctx context.Context, id SessionID) bool {
	if m := r.member(id); m != nil {
		return m.peer.Probe(ctx)
	}
	return r.reach != nil && r.reach.Probe(ctx, r.state.tickOf(id.Instance).Address, id)
}

// member returns this scoutmaster's member of a session, or nil.
func (r *Registry) member(id SessionID) *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id.Instance != r.life.instance {
		return nil
	}
	return r.life.members[id.Number]
}

// append appends an entry until it is known what has become of it. It appends
// nothing once ctx is done.
func (r *Registry) append(ctx context.Context, e *Entry) error {
	for ctx.Err() == nil {
		if err := r.log.Append(ctx, e); !errors.Is(err, ErrUncertain) {
			return err
		}
	}
	return ctx.Err()
}

// joined is part of watcher.
func (r *Registry) joined(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone.remove(s.scout.Origin)
	r.ownGone.remove(s.scout.Origin)
	if s.id.Instance == r.life.instance && r.life.members[s.id.Number] == nil {
		go r.abandon(s.id)
	}
}

// abandon ends a session whose scout has not learned that it was let in. Its second
// entry is that it has left. The scout tries again, at whatever scoutmaster, so what is
// listed of it stays listed for the deadline meanwhile.
func (r *Registry) abandon(id SessionID) {
	r.mu.Lock()
	l := r.life
	r.mu.Unlock()
	if r.fleet != nil {
		select {
		case <-l.ctx.Done():
			return
		case <-time.After(r.fleet.Deadline):
		}
	}
	e := &Entry{Epoch: l.epoch, Session: id, Serial: 2, Body: &Left{string(stream.LeftBroken)}}
	r.append(l.ctx, e) //nolint:errcheck // after any other error the life is over, and the session with it
}

// ended is part of watcher.
func (r *Registry) ended(s, successor *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	origin, reason := s.scout.Origin, s.leaveReason
	r.left.note(origin, roster.Left{
		Origin: origin, Reason: string(reason), When: time.Now(), Session: s.scout.Session, Address: s.scout.Address,
	})
	own, gone := s.id.Instance == r.life.instance, successor == nil && reason != stream.LeftDeregistered
	if gone {
		r.gone.add(origin)
	}
	if gone && own {
		r.ownGone.add(origin)
	}
	if !own {
		return
	}
	if m := r.life.members[s.id.Number]; m != nil {
		if successor != nil {
			m.peer.Evict("replaced by " + successor.scout.Address)
		}
		m.logDropped(reason)
	}
}

// master is part of watcher. A scoutmaster that is taken for lost begins anew,
// and one that is leaving ends its sessions.
func (r *Registry) master(m *scoutmaster) {
	r.mu.Lock()
	defer r.mu.Unlock()
	own := m.instance == r.life.instance
	r.lost.note(m)
	switch {
	case own && m.phase == masterLost:
		r.fleet.setUnready()
		r.beginAnew(r.life.epoch, "this scoutmaster was taken for lost")
	case own && m.phase == masterLeaving:
		r.beginAnew(r.life.epoch, stopping)
	case !own && r.fleet != nil:
		r.fleet.logMaster(m)
	}
}

// begun is part of watcher.
func (r *Registry) begun(epoch uint64, reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fleet != nil {
		r.fleet.setUnready()
	}
	r.beginAnew(epoch, "the log was made anew")
	if r.fleet != nil {
		r.fleet.begun(reason)
	}
}

// compared is part of watcher.
func (r *Registry) compared(m *scoutmaster, position uint64, same bool, live int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fleet != nil && m.instance != r.life.instance {
		r.fleet.compared(m, r.life.instance, position, same, live)
	}
}

// beginAnew begins another life, and ends the sessions of this one. The caller
// holds mu.
func (r *Registry) beginAnew(epoch uint64, reason string) {
	r.life.end() // before the sessions: they say nothing any more, not even that they end
	for _, m := range r.life.members {
		m.peer.Dismiss(reason)
		m.logDropped(stream.LeftStopping)
	}
	r.life = newLife(epoch)
	if r.fleet != nil {
		r.fleet.anew.Set()
	}
}

// member is one session of this scoutmaster, from Join to Leave. It writes what
// the session says into the log, and what counts into this scoutmaster's own.
type member struct {
	registry *Registry
	life     *life
	id       SessionID
	peer     stream.Peer
	log      *scoutLog
	kept     *stream.Kept // nil: nothing
	moves    bool         // from another session, of which something is listed

	// One goroutine, that of the session, uses what follows.
	serial    uint64
	entry     Entry  // the last one
	update    Update // the last one
	names     Shown  // what the scout shows
	hiddenFor string // the reason, while it is hidden
	synced    bool   // it was shown once
	heard     bool   // the scout has said something
	condition stream.Condition
}

// append adds an entry of the session to the log.
func (m *member) append(ctx context.Context, body Body) error {
	m.serial++
	m.entry = Entry{Epoch: m.life.epoch, Session: m.id, Serial: m.serial, Body: body}
	return m.registry.append(ctx, &m.entry)
}

// join claims the scout's origin, until it has it or a live scout holds it.
func (m *member) join(ctx context.Context) error {
	ctx, cancel := m.within(ctx)
	defer cancel()
	j := Joined{
		Origin: m.peer.Origin, Session: m.peer.Session, Version: m.peer.Version, Address: m.peer.Address, Registered: time.Now(),
		Before: m.peer.Before,
	}
	for _, s := range m.peer.Sent {
		j.Has = append(j.Has, Shown(s))
	}
	for {
		// Mostly the State knows the holder already, and one entry is enough.
		if holder := m.registry.state.holder(j.Origin); holder != nil && holder.id != j.Replaces {
			if err := m.registry.probeHolder(ctx, holder, m); err != nil {
				return err
			}
			j.Replaces = holder.id
		}
		m.serial = 0
		err := m.append(ctx, &j)
		if _, held := errors.AsType[*heldError](err); !held {
			return err
		}
	}
}

// keep notes what the list has kept of the scout.
func (m *member) keep() {
	var listed bool
	m.kept, listed = m.registry.state.keptOf(m.id)
	m.moves = listed && m.registry.fleet != nil
	if m.kept == nil {
		return
	}
	m.names, m.synced = Shown(m.kept.SentState), true
	m.logSynced(0, 0, m.names, stream.Arrival{Revision: adoptedRevision, Began: time.Now()})
}

// Kept is part of [stream.Member].
func (m *member) Kept() *stream.Kept { return m.kept }

// within returns a context that is done with ctx, or when the life is over.
func (m *member) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(m.life.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// end takes the member off the Registry.
func (m *member) end() {
	r := m.registry
	r.mu.Lock()
	delete(m.life.members, m.id.Number)
	r.mu.Unlock()
	m.log.close()
}

// identity names the scout's proven identity, if there is one.
func (m *member) identity() zap.Field {
	if m.peer.Identity == "" {
		return zap.Skip()
	}
	return zap.String("identity", m.peer.Identity)
}

func removedBytes(u *Update) uint64 {
	if u.Delta.Removed == nil {
		return 0
	}
	return u.Delta.Removed.Bytes()
}

// show appends an Update, in parts if the log is shared.
func (m *member) show(u Update) error {
	m.heard = true
	if m.registry.fleet == nil {
		m.update = u
		defer func() { m.update = Update{} }() // it would keep the names
		return m.append(m.life.ctx, &m.update)
	}
	if small := u.Delta.Added.Bytes()+removedBytes(&u) < partSize/2; small {
		if parts := slices.Collect(split(&u, partSize)); len(parts) == 1 {
			return m.append(m.life.ctx, parts[0])
		}
	}
	return m.registry.fleet.shared.appendAll(m.life.ctx, func(yield func(*Entry) bool) {
		for part := range split(&u, partSize) {
			m.serial++
			if !yield(&Entry{Epoch: m.life.epoch, Session: m.id, Serial: m.serial, Body: part}) {
				return
			}
		}
	})
}

// Reset shows a whole list.
func (m *member) Reset(set *files.Set, by stream.Arrival) {
	names := Shown{uint64(set.Len()), set.Digest()}
	err := m.show(Update{Reset: true, Delta: files.Delta{Added: set}, Revision: by.Revision, Shown: names})
	if err != nil {
		return // it has left
	}
	if m.hiddenFor != "" {
		m.log.state(zap.InfoLevel, "scout shown", zap.String("reason", "snapshot received"))
		m.hiddenFor = ""
	}
	m.logSynced(set.Len(), int(m.names.Count), names, by)
	m.names, m.synced = names, true
}

// Apply changes what is shown.
func (m *member) Apply(d files.Delta, by stream.Arrival) error {
	names := Shown{
		m.names.Count + uint64(d.Added.Len()) - uint64(d.Removed.Len()),
		m.names.Digest + d.Added.Digest() - d.Removed.Digest(),
	}
	err := m.show(Update{Delta: d, Revision: by.Revision, Shown: names})
	if errors.Is(err, errNotCounted) || m.life.ctx.Err() != nil {
		return nil //nolint:nilerr // it has left
	}
	if err != nil {
		return err
	}
	m.logSynced(d.Added.Len(), d.Removed.Len(), names, by)
	m.names = names
	return nil
}

func (m *member) logSynced(added, removed int, now Shown, by stream.Arrival) {
	m.log.filesSynced(syncedLine{
		files: int(now.Count), added: added, removed: removed, revision: by.Revision, took: time.Since(by.Began),
	})
}

// Hide removes what is shown.
func (m *member) Hide(reason string, scanned uint64) {
	m.heard = true
	if reason == "" {
		reason = "the scout gives no reason"
	}
	if err := m.append(m.life.ctx, &Hidden{Reason: reason, Scanned: scanned}); err != nil {
		return // it has left
	}
	m.names = Shown{}
	if m.hiddenFor != reason {
		m.hiddenFor = reason
		m.log.state(m.hidingLevel(), "scout hidden", zap.String("reason", reason))
	}
}

// hidingLevel is the level at which to log that the scout is hidden: a scout
// that was never shown yet is no cause for concern.
func (m *member) hidingLevel() zapcore.Level {
	if m.synced {
		return zapcore.WarnLevel
	}
	return zapcore.InfoLevel
}

// Report notes the condition of the scout's directory.
func (m *member) Report(c stream.Condition) {
	m.heard = true
	before := m.condition
	before.PollRound = c.PollRound // is no matter for the log lines
	if c == before && similar(c.PollRound, m.condition.PollRound) {
		return
	}
	if err := m.append(m.life.ctx, &Status{c}); err != nil {
		return // it has left
	}
	m.condition = c
	if c == before {
		return
	}
	level, msg := zap.WarnLevel, "scout degraded"
	if !isDegraded(c) {
		level, msg = zap.InfoLevel, "scout recovered"
	}
	fields := []zap.Field{zap.Uint64("unreadable", c.Unreadable), zap.Uint64("polled", c.Polled)}
	if c.Incomplete != "" {
		fields = append(fields, zap.String("reason", c.Incomplete))
	}
	m.log.state(level, msg, fields...)
}

// similar reports whether two durations differ by no more than a tenth: not
// enough to be worth an entry.
func similar(a, b time.Duration) bool { return max(a, b)-min(a, b) <= max(a, b)/10 }

// isDegraded reports whether a scout cannot list, or cannot watch, a part of its
// directory.
func isDegraded(c stream.Condition) bool {
	return c.Unreadable > 0 || c.Polled > 0 || c.Incomplete != ""
}

// Leave ends the registration. In a fleet a scout that moves, and whose stream breaks
// before it has said anything, may not have learned that it was let in.
func (m *member) Leave(reason stream.LeaveReason) {
	if m.moves && !m.heard && reason == stream.LeftBroken {
		m.logDropped(reason)
		m.end()
		go m.registry.abandon(m.id)
		return
	}
	m.append(m.life.ctx, &Left{string(reason)}) //nolint:errcheck // it has left, or its scoutmaster's life is over
	m.end()
}

// logDropped logs that the session has ended, for the State or another session
// has said so.
func (m *member) logDropped(reason stream.LeaveReason) {
	m.log.state(zap.InfoLevel, "scout dropped", zap.String("reason", string(reason)), zap.String("session", m.peer.Session))
}
