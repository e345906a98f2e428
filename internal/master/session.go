package master

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/stream"
)

// heldError: a Joined does not count because another session holds the origin.
type heldError struct{ holder *session }

func (e *heldError) Error() string { return "another session holds the origin" }

// phase is how far a session has come: see the package's table.
type phase int

const (
	waiting phase = iota // for the first snapshot
	hidden
	shown
	left
)

// session is one scout that holds its origin. The State's mu guards what changes.
type session struct {
	id     SessionID
	scout  Joined
	origin uint64 // a hash of the origin

	phase       phase
	serial      uint64          // of the last entry that counted
	verdict     error           // what Apply returned for it
	source      *listing.Source // what is listed of it: while it is shown, or waits in the place of a session that was
	names       Shown           // that is this
	bytes       uint64          // in these names
	revision    uint64          // of the scout's last update, while it is shown
	hiddenFor   string          // the reason, while it is hidden
	scanned     uint64          // how many files it has found, while it is hidden because it scans
	condition   stream.Condition
	parts       []Parts            // of an Update that is not whole
	leaveReason stream.LeaveReason // when it has left
	withheld    chan struct{}      // closed when it is hidden or has left
}

// applySession applies what a session says. It is a sign of life of its
// scoutmaster.
func (s *State) applySession(tx *listing.Tx, e *Entry) error {
	m := s.masters[e.Session.Instance]
	if m == nil || m.phase != masterLive {
		return errNotCounted
	}
	x := m.sessions[e.Session.Number]
	if j, ok := e.Body.(*Joined); ok && x == nil {
		if e.Serial != 1 {
			return errNotCounted
		}
		m.heard, m.suspected = s.position, 0
		return s.join(tx, m, e.Session, j)
	}
	if x == nil {
		return errNotCounted
	}
	if e.Serial == x.serial {
		return x.verdict
	}
	if e.Serial > x.serial+1 {
		return errEarly
	}
	if e.Serial < x.serial {
		return errNotCounted
	}
	m.heard, m.suspected = s.position, 0
	x.serial = e.Serial
	x.verdict = s.applyTo(tx, x, e.Body)
	return x.verdict
}

// applyTo applies what a session says of its scout.
func (s *State) applyTo(tx *listing.Tx, x *session, body Body) error {
	switch body := body.(type) {
	case *Update:
		return s.update(tx, x, body)
	case *Hidden:
		s.hide(tx, x, body.Reason, body.Scanned)
	case *Status:
		x.condition = body.Condition
	case *Left:
		s.remove(tx, x, nil, stream.LeaveReason(body.Reason))
	}
	return nil
}

// join registers a session, if it may have its origin.
func (s *State) join(tx *listing.Tx, m *scoutmaster, id SessionID, j *Joined) error {
	holder := s.holders[j.Origin]
	if holder != nil && holder.id != j.Replaces && !s.free(holder) {
		return &heldError{holder}
	}
	x := &session{id: id, scout: *j, origin: hashOf(j.Origin), serial: 1, withheld: make(chan struct{})}
	if holder != nil {
		s.inherit(x, holder)
		s.remove(tx, holder, x, stream.LeftReplaced)
	}
	x.scout.Has = nil // it would only cost memory
	m.sessions[id.Number] = x
	s.holders[j.Origin] = x
	s.watch.joined(x)
	return nil
}

// free reports whether any scout may take a session's origin: its scoutmaster is
// lost, or is leaving.
func (s *State) free(x *session) bool { return s.masters[x.id.Instance].phase != masterLive }

// holder returns the session that holds an origin, or nil if any scout may take it.
func (s *State) holder(o files.Origin) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.holders[o]
	if x == nil || s.free(x) {
		return nil
	}
	return x
}

// inherit lets a session go on with what its predecessor shows: as its own if it
// has just that, and until its snapshot comes if it is the same scout, which has
// moved. What a dead scout showed is nobody's.
func (s *State) inherit(x, from *session) {
	if from.source == nil {
		return
	}
	has := slices.Contains(x.scout.Has, from.names)
	if !has && !s.free(from) && !x.scout.follows(&from.scout) {
		return
	}
	x.source, x.names, x.bytes = from.source, from.names, from.bytes // the digest of the list stays
	from.source, from.names, from.bytes = nil, Shown{}, 0
	if has {
		x.phase, x.revision = shown, adoptedRevision
	}
}

// adoptedRevision is the scout's own revision of what it has adopted.
const adoptedRevision = 1

// follows reports whether two sessions are of one scout, which was in the other one
// before, or has not learned that it was let in there.
func (j *Joined) follows(other *Joined) bool {
	return j.Before != "" && (j.Before == other.Session || j.Before == other.Before)
}

// keptOf returns what a session has adopted, or nil, and whether something is listed
// of it, before its first Update.
func (s *State) keptOf(id SessionID) (kept *stream.Kept, listed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.masters[id.Instance]
	if m == nil || m.sessions[id.Number] == nil {
		return nil, false
	}
	x := m.sessions[id.Number]
	if x.phase == shown {
		kept = &stream.Kept{SentState: stream.SentState(x.names), Bytes: x.bytes}
	}
	return kept, x.source != nil
}

// update takes in a part, and shows the Update when it is whole. An Update that
// does not fit hides the scout, everywhere alike.
func (s *State) update(tx *listing.Tx, x *session, u *Update) error {
	d := u.Delta
	if d.Added == nil {
		x.parts = append(x.parts, u.Parts)
		if u.More {
			return nil
		}
		var err error
		if d, err = assemble(x.parts); err != nil {
			return s.misfit(tx, x, err)
		}
		x.parts = nil
	}
	names, bytes := Shown{uint64(d.Added.Len()), d.Added.Digest()}, d.Added.Bytes()
	if !u.Reset {
		names.Count += x.names.Count - uint64(d.Removed.Len())
		names.Digest += x.names.Digest - d.Removed.Digest()
		bytes += x.bytes - d.Removed.Bytes()
	}
	switch {
	case names != u.Shown:
		return s.misfit(tx, x, fmt.Errorf("the update makes %d files of digest %016x, not %d of %016x",
			names.Count, names.Digest, u.Shown.Count, u.Shown.Digest))
	case u.Reset:
		source := x.source
		s.setSource(x, nil, Shown{})
		s.setSource(x, tx.Show(x.scout.Origin, d.Added, source), names)
		if x.phase == hidden {
			x.hiddenFor, x.scanned = "", 0
			x.withheld = make(chan struct{})
		}
		x.phase = shown
	case x.phase != shown:
		return s.misfit(tx, x, errors.New("an update before a snapshot"))
	case !d.Empty():
		if _, err := tx.Change(x.source, d); err != nil {
			return s.misfit(tx, x, err)
		}
		s.setSource(x, x.source, names)
	}
	x.revision, x.bytes = u.Revision, bytes
	return nil
}

// assemble makes one change of the parts of an Update.
func assemble(parts []Parts) (files.Delta, error) {
	var removed, added files.Builder
	for _, p := range parts {
		if err := errors.Join(removed.Append(p.Removed), added.Append(p.Added)); err != nil {
			return files.Delta{}, fmt.Errorf("the parts of an update: %w", err)
		}
	}
	return files.Delta{Removed: removed.Set(), Added: added.Set()}, nil
}

func (s *State) misfit(tx *listing.Tx, x *session, err error) error {
	s.hide(tx, x, "its update does not fit", 0)
	return err
}

// hide removes what a scout shows.
func (s *State) hide(tx *listing.Tx, x *session, reason string, scanned uint64) {
	s.drop(tx, x)
	x.withhold()
	x.phase, x.hiddenFor, x.scanned, x.parts = hidden, reason, scanned, nil
}

// remove ends a session, and with it what it shows.
func (s *State) remove(tx *listing.Tx, x, successor *session, reason stream.LeaveReason) {
	s.drop(tx, x)
	x.end(reason)
	delete(s.masters[x.id.Instance].sessions, x.id.Number)
	if s.holders[x.scout.Origin] == x {
		delete(s.holders, x.scout.Origin)
	}
	s.watch.ended(x, successor)
}

// drop removes what is listed of a session.
func (s *State) drop(tx *listing.Tx, x *session) {
	if x.source != nil {
		tx.Drop(x.source)
		s.setSource(x, nil, Shown{})
		x.revision, x.bytes = 0, 0
	}
}

// setSource sets what is listed of a session, and keeps the digest of the list.
func (s *State) setSource(x *session, source *listing.Source, names Shown) {
	if x.source != nil {
		s.digest -= x.hash()
	}
	if x.source, x.names = source, names; source != nil {
		s.digest += x.hash()
	}
}

// hash is the digest of what is listed of a session.
func (x *session) hash() uint64 {
	var p [24]byte
	binary.LittleEndian.PutUint64(p[:], x.origin)
	binary.LittleEndian.PutUint64(p[8:], x.names.Count)
	binary.LittleEndian.PutUint64(p[16:], x.names.Digest)
	return xxhash.Sum64(p[:])
}

func hashOf(o files.Origin) uint64 {
	return xxhash.Sum64String(o.Host + "\x00" + o.Directory)
}

// withhold ends the rescans that wait for the session to show what they found.
func (x *session) withhold() {
	if x.phase != hidden && x.phase != left {
		close(x.withheld)
	}
}

func (x *session) end(reason stream.LeaveReason) {
	x.withhold()
	x.phase, x.leaveReason, x.parts = left, reason, nil
}

func (x *session) String() string {
	return fmt.Sprintf("session %s from %s", x.scout.Session, x.scout.Address)
}
