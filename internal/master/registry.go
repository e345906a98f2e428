package master

import (
	"context"
	"fmt"
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

// Registry has the live scouts. It lets one scout at a time hold an origin, and
// shows in the Listing what each holder shows.
type Registry struct {
	listing *listing.Listing
	logs    *scoutLogs

	mu      sync.Mutex
	members map[files.Origin]*member
	gone    gone
	left    recent[files.Origin, roster.Left]
	refused recent[refusal, roster.Refused]
}

// NewRegistry returns a Registry without members.
func NewRegistry(l *listing.Listing, log *zap.Logger) *Registry {
	return &Registry{listing: l, logs: newScoutLogs(log), members: make(map[files.Origin]*member)}
}

// Join registers a scout, see [stream.Registry]. A holder that does not answer
// at once when asked is a stale holder, and the newcomer takes its place.
func (r *Registry) Join(ctx context.Context, p stream.Peer) (stream.Member, error) {
	m := &member{registry: r, peer: p, registered: time.Now(), withheld: make(chan struct{}), log: r.logs.open(p.Origin)}
	err := r.join(ctx, m)
	if err != nil {
		m.log.close()
		return nil, err
	}
	m.log.state(zap.InfoLevel, "scout registered", zap.String("session", p.Session),
		zap.String("version", p.Version), zap.String("address", p.Address), m.identity())
	return m, nil
}

// join claims m's origin, until it has it or a live scout holds it.
func (r *Registry) join(ctx context.Context, m *member) error {
	for {
		holder := r.claim(m, nil)
		if holder == nil {
			return nil
		}
		if err := r.ask(ctx, holder, m); err != nil {
			return err
		}
		if r.claim(m, holder) == nil {
			return nil
		}
	}
}

// claim gives m its origin if nobody holds it, or if the stale holder does. It
// returns the holder otherwise.
func (r *Registry) claim(m, stale *member) *member {
	r.mu.Lock()
	holder := r.members[m.peer.Origin]
	if holder != nil && holder != stale {
		r.mu.Unlock()
		return holder
	}
	r.members[m.peer.Origin] = m
	r.gone.remove(m.peer.Origin)
	r.mu.Unlock()

	if holder != nil {
		holder.peer.Evict("replaced by " + m.peer.Address)
		holder.Leave(stream.LeftReplaced)
	}
	return nil
}

// identity names the scout's proven identity, if there is one.
func (m *member) identity() zap.Field {
	if m.peer.Identity == "" {
		return zap.Skip()
	}
	return zap.String("identity", m.peer.Identity)
}

// ask asks a holder for a sign of life. It returns nil if the holder is gone.
func (r *Registry) ask(ctx context.Context, holder, newcomer *member) error {
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if holder.peer.Probe(probe) {
		held := &stream.HeldError{Origin: holder.peer.Origin, Holder: holder.String()}
		r.noteRefused(newcomer.peer, held.Holder)
		newcomer.log.registrationRefused(held.Holder, newcomer.peer.Address)
		return held
	}
	return ctx.Err()
}

// leave removes m, unless a successor has its place.
func (r *Registry) leave(m *member, reason stream.LeaveReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left.note(m.peer.Origin, roster.Left{
		Origin: m.peer.Origin, Reason: string(reason), When: time.Now(),
		Session: m.peer.Session, Address: m.peer.Address,
	})
	if r.members[m.peer.Origin] != m {
		return
	}
	delete(r.members, m.peer.Origin)
	if reason != stream.LeftDeregistered {
		r.gone.add(m.peer.Origin)
	}
}

// phase is how far a member has come: see the package's table.
type phase int

const (
	waiting phase = iota // for the first snapshot
	hidden
	shown
	left
)

// member is one scout that holds its origin, from Join to Leave.
type member struct {
	registry   *Registry
	peer       stream.Peer
	log        *scoutLog
	registered time.Time

	mu          sync.Mutex // a session calls one at a time, but a successor may call Leave
	phase       phase
	source      *listing.Source    // what the Listing has of it, while it is shown
	files       int                // how many files that is
	revision    uint64             // of its last update, while it is shown
	hiddenFor   string             // the reason, while it is hidden
	scanned     uint64             // how many files it has found, while it is hidden because it scans
	synced      bool               // it was shown once
	leaveReason stream.LeaveReason // when it has left
	withheld    chan struct{}      // closed when it is hidden or has left

	condition stream.Condition
}

func (m *member) String() string {
	return fmt.Sprintf("session %s from %s", m.peer.Session, m.peer.Address)
}

// Reset shows a whole list.
func (m *member) Reset(set *files.Set, by stream.Arrival) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == left {
		return
	}
	removed := m.files
	m.files, m.revision = set.Len(), by.Revision
	m.source = m.registry.listing.Show(m.peer.Origin, set, m.source)
	if m.phase == hidden {
		m.log.state(zap.InfoLevel, "scout shown", zap.String("reason", "snapshot received"))
		m.hiddenFor, m.scanned = "", 0
		m.withheld = make(chan struct{})
	}
	m.phase, m.synced = shown, true
	m.logSynced(set.Len(), set.Len(), removed, by)
}

// Apply changes what is shown.
func (m *member) Apply(d files.Delta, by stream.Arrival) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase != shown {
		return nil
	}
	n, err := m.registry.listing.Change(m.source, d)
	if err != nil {
		return err
	}
	m.files, m.revision = n, by.Revision
	m.logSynced(m.files, d.Added.Len(), d.Removed.Len(), by)
	return nil
}

func (m *member) logSynced(files, added, removed int, by stream.Arrival) {
	m.log.filesSynced(syncedLine{files: files, added: added, removed: removed, revision: by.Revision, took: time.Since(by.Began)})
}

// Hide takes away what is shown.
func (m *member) Hide(reason string, scanned uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == left {
		return
	}
	if reason == "" {
		reason = "the scout gives no reason"
	}
	m.withhold()
	m.phase, m.scanned = hidden, scanned
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

// Report notes what a beat says of the scout's directory.
func (m *member) Report(c stream.Condition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == left {
		return
	}
	before := m.condition
	m.condition = c
	before.PollRound = c.PollRound // is no matter for the log
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

// isDegraded reports whether a scout cannot list, or cannot watch, a part of its
// directory.
func isDegraded(c stream.Condition) bool {
	return c.Unreadable > 0 || c.Polled > 0 || c.Incomplete != ""
}

// withhold removes what is shown, and ends the rescans that wait for it. The
// caller sets the phase.
func (m *member) withhold() {
	if m.source != nil {
		m.registry.listing.Drop(m.source)
		m.source, m.files, m.revision = nil, 0, 0
	}
	if m.phase != hidden {
		close(m.withheld)
	}
}

// Leave ends the registration.
func (m *member) Leave(reason stream.LeaveReason) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.phase == left {
		return
	}
	m.withhold()
	m.phase, m.leaveReason = left, reason
	m.registry.leave(m, reason)
	m.log.state(zap.InfoLevel, "scout dropped", zap.String("reason", string(reason)), zap.String("session", m.peer.Session))
	m.log.close()
}
