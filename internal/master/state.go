package master

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/cespare/xxhash/v2"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/stream"
	"scout/internal/wake"
)

// Errors of [State.Apply].
var (
	// ErrGap: entries before this one are missing. The State has to take another's
	// place, see [State.Restore].
	ErrGap = errors.New("entries of the log are missing")
	// ErrUnknown: the entry is of a kind that this version does not know, so that
	// the State cannot go on.
	ErrUnknown = errors.New("the log has an entry of a kind that this version does not know")
	// errNotCounted: the entry does not count. The session has ended, or the
	// scoutmaster is lost, or the entry came once already, or too early.
	errNotCounted = errors.New("the entry does not count")
	// errEarly: the entry does not count yet. Entries of its session that come before
	// it are missing, and their writer appends them again.
	errEarly = fmt.Errorf("%w: entries before it are missing", errNotCounted)
)

// heldError: a Joined does not count because another session holds the origin.
type heldError struct{ holder *session }

func (e *heldError) Error() string { return "another session holds the origin" }

// State is what the entries of a log say, up to a position: which scoutmasters
// there are, which session holds which origin, and what each of them shows. It is
// a function of the entries: two States at one position of one log are equal, and
// so are their lists. It is the only writer of its Listing. Any goroutine may use
// it.
type State struct {
	list  *listing.Listing
	watch watcher

	advanced wake.Broadcast // wakes when the position or the epoch changes

	mu       sync.Mutex
	made     uint64 // identifies the log, see Bounds
	epoch    uint64
	position uint64
	adrift   bool   // the log was made anew, and no epoch has begun in it yet
	blank    bool   // nothing is known but perhaps the epoch
	wanted   uint64 // the epoch that others are in, if it is later than this one
	format   uint32 // the latest of the entries that have counted in the epoch
	masters  map[Instance]*scoutmaster
	holders  map[files.Origin]*session
	buried   []Instance // the last ones, which do not come back
	digest   uint64     // of the list: the sum of the digests of all sessions that show something
	digests  digests
}

// watcher is told of what counts, by the goroutine that applies it. It must not
// call the State.
type watcher interface {
	// joined: a session holds its origin from now on.
	joined(s *session)
	// ended: a session has ended. The successor is nil if nobody has its place.
	ended(s, successor *session)
	// master: a scoutmaster has come, or its phase has changed.
	master(m *scoutmaster)
	// begun: another epoch has begun, or this State has become another's, and all
	// sessions have ended. The reason is that of the beginning, or "".
	begun(epoch uint64, reason string)
	// compared: a scoutmaster had the same list as this one at a position, or had
	// not. So many live.
	compared(m *scoutmaster, position uint64, same bool, live int)
}

// buriedMost is how many scoutmasters are remembered after they were buried, so
// that an entry of theirs that comes late does not make them known again.
const buriedMost = 256

// masterPhase is how far a scoutmaster has come.
type masterPhase int

const (
	masterLive masterPhase = iota
	masterLeaving
	masterLost
	masterBuried
)

// scoutmaster is one that takes part in the log.
type scoutmaster struct {
	instance  Instance
	tick      Tick // the last one
	phase     masterPhase
	serial    uint64 // of its last entry that counted
	suspected uint64 // the position of a Suspect that nothing has refuted, or 0
	heard     uint64 // the position of the last entry of it, or of its sessions
	sessions  map[uint64]*session
}

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

// NewState returns a State at the beginning of an epoch, that of its Listing,
// which nobody else may write. The watcher may be nil.
func NewState(list *listing.Listing, w watcher) *State {
	if w == nil {
		w = nobody{}
	}
	v := list.Current()
	return &State{
		list: list, watch: w, epoch: v.Epoch, position: v.Position,
		masters: make(map[Instance]*scoutmaster), holders: make(map[files.Origin]*session),
		digests: digests{{v.Position, 0}},
	}
}

// nobody is a watcher.
type nobody struct{}

func (nobody) joined(*session)                          {}
func (nobody) ended(_, _ *session)                      {}
func (nobody) master(*scoutmaster)                      {}
func (nobody) begun(uint64, string)                     {}
func (nobody) compared(*scoutmaster, uint64, bool, int) {}

// Apply applies the entry at a position of the log, which follows the position
// before; an entry that was applied already changes nothing. The other errors
// than ErrGap and ErrUnknown are for the entry's writer: the entry has had
// another effect than it was to have, or none. An entry that its writer has
// appended twice has one effect, and Apply returns the same error for both.
func (s *State) Apply(position uint64, e *Entry) error {
	defer s.advanced.Wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := s.list.Begin()
	defer tx.Commit()
	return s.step(tx, position, e)
}

// ApplyAll applies the entries from a position on, as Apply does each of them.
// Readers of the list see the result of all at once; the history keeps them
// apart. It returns what Apply returns for each entry but the one that it stops
// at: the error is then ErrGap or ErrUnknown.
func (s *State) ApplyAll(position uint64, entries []*Entry) (outcomes []error, err error) {
	defer s.advanced.Wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	tx := s.list.Begin()
	defer tx.Commit()
	for i, e := range entries {
		outcome := s.step(tx, position+uint64(i), e)
		if errors.Is(outcome, ErrGap) || errors.Is(outcome, ErrUnknown) {
			return outcomes, outcome
		}
		outcomes = append(outcomes, outcome)
	}
	return outcomes, nil
}

// step applies one entry.
func (s *State) step(tx *listing.Tx, position uint64, e *Entry) error {
	switch {
	case position <= s.position:
		return nil
	case position > s.position+1:
		return ErrGap
	case s.unknown(e):
		return ErrUnknown
	case s.behind(e):
		return ErrGap
	}
	s.position = position
	tx.Advance(position)
	before := s.digest
	err := s.apply(tx, e)
	if err == nil {
		s.format = max(s.format, formatOf(e.Body))
	}
	if s.digest != before {
		s.digests.note(position, s.digest)
	}
	return err
}

// noEntry stands for a message in the log that is no entry of this fleet.
var noEntry = &Entry{Session: SessionID{Number: 1}, Body: new(Status)}

// Rewritten says that the log was made anew, or has gone back in time: what
// comes next follows the position in the log that was made then. Until another epoch has begun nothing counts,
// because other scoutmasters may have seen other entries before.
func (s *State) Rewritten(made, position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made, s.position, s.adrift = made, position, true
}

// follows returns which log the State follows, and how far it has.
func (s *State) follows() (made, position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made, s.position
}

// newcomer returns a State that knows nothing of a log that others may have
// written. It needs another's state, or the beginning of an epoch.
func newcomer(list *listing.Listing, w watcher) *State {
	s := NewState(list, w)
	s.epoch, s.blank, s.adrift = 0, true, true
	return s
}

// behind reports whether an entry shows that others are in a later epoch, whose
// beginning did not count here. One that knows nothing learns which epoch it is.
func (s *State) behind(e *Entry) bool {
	if _, ok := e.Body.(*Begin); ok || e.Epoch <= s.epoch {
		return false
	}
	if s.blank {
		s.epoch = e.Epoch
		return false
	}
	s.wanted = max(s.wanted, e.Epoch)
	return true
}

// unknown reports whether an entry that counts is of an unknown kind.
func (s *State) unknown(e *Entry) bool {
	m := s.masters[e.Session.Instance]
	return e.Body == nil && e.Epoch == s.epoch && !s.adrift && m != nil && m.phase == masterLive
}

// Position returns how far the State has followed the log.
func (s *State) Position() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.position
}

func (s *State) apply(tx *listing.Tx, e *Entry) error {
	begin, ok := e.Body.(*Begin)
	switch {
	case ok:
		return s.begin(tx, e.Epoch, begin)
	case s.adrift || e.Epoch != s.epoch:
		return errNotCounted
	case e.Session.Number == 0:
		return s.applyMaster(tx, e)
	}
	return s.applySession(tx, e)
}

// begin begins another epoch.
func (s *State) begin(tx *listing.Tx, epoch uint64, b *Begin) error {
	first := s.blank && s.epoch == 0 // the log has had no entry before
	if b.Before != s.epoch && !first || epoch <= s.epoch {
		return errNotCounted
	}
	reason := ""
	if s.epoch != 0 {
		reason = cmp.Or(b.Reason, "another epoch begins")
	}
	for _, m := range s.masters {
		for _, x := range m.sessions {
			x.end(stream.LeftStopping)
		}
	}
	s.epoch, s.adrift, s.blank, s.format = epoch, false, false, 0
	s.digest, s.digests, s.buried = 0, digests{{s.position, 0}}, nil
	clear(s.masters)
	clear(s.holders)
	tx.Restart(epoch, s.position)
	s.watch.begun(epoch, reason)
	return nil
}

// applyMaster applies what a scoutmaster says.
func (s *State) applyMaster(tx *listing.Tx, e *Entry) error {
	m := s.masters[e.Session.Instance]
	if t, ok := e.Body.(*Tick); ok && m == nil {
		return s.meet(e, t)
	}
	if m == nil || m.phase != masterLive || e.Serial != m.serial+1 {
		return errNotCounted
	}
	m.serial, m.heard, m.suspected = e.Serial, s.position, 0
	switch body := e.Body.(type) {
	case *Tick:
		m.tick = *body
		if d, ok := s.digests.at(body.Position); ok {
			s.watch.compared(m, body.Position, d == body.Digest, s.live())
		}
	case *Suspect:
		if of := s.masters[body.Of]; of != nil && of.phase == masterLive && of != m && of.suspected == 0 {
			of.suspected = s.position
		}
	case *Lost:
		if of := s.masters[body.Of]; of != nil && of.phase == masterLive && of.suspected != 0 && of.suspected == body.Suspect {
			s.setPhase(of, masterLost)
		}
	case *Buried:
		if of := s.masters[body.Of]; of != nil && of.phase != masterLive {
			s.bury(tx, of)
		}
	case *Leaving:
		s.setPhase(m, masterLeaving)
	}
	return nil
}

// live counts the scoutmasters that are live.
func (s *State) live() (n int) {
	for _, m := range s.masters {
		if m.phase == masterLive {
			n++
		}
	}
	return n
}

// readByAll reports whether all scoutmasters that are live read the entries of a
// format.
func (s *State) readByAll(format uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.masters {
		if m.phase == masterLive && m.tick.Reads < format {
			return false
		}
	}
	return true
}

// meet makes a scoutmaster known by its first Tick.
func (s *State) meet(e *Entry, t *Tick) error {
	if e.Serial != 1 || slices.Contains(s.buried, e.Session.Instance) {
		return errNotCounted
	}
	m := &scoutmaster{
		instance: e.Session.Instance, tick: *t, serial: 1, heard: s.position,
		sessions: make(map[uint64]*session),
	}
	s.masters[m.instance] = m
	s.watch.master(m)
	return nil
}

func (s *State) setPhase(m *scoutmaster, p masterPhase) {
	m.phase = p
	s.watch.master(m)
}

// bury removes a scoutmaster and its sessions that have not moved.
func (s *State) bury(tx *listing.Tx, m *scoutmaster) {
	reason := stream.LeftSilent
	if m.phase == masterLeaving {
		reason = stream.LeftStopping
	}
	for _, x := range m.sessions {
		s.remove(tx, x, nil, reason)
	}
	delete(s.masters, m.instance)
	s.buried = append(s.buried, m.instance)
	s.buried = s.buried[max(0, len(s.buried)-buriedMost):]
	s.setPhase(m, masterBuried)
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

// digestsMost is for how many changes of the list a digest is remembered.
const digestsMost = 1024

// digests are those that the list had after its last changes, oldest first.
type digests []digestAt

type digestAt struct{ position, digest uint64 }

func (d *digests) note(position, digest uint64) {
	if len(*d) == 2*digestsMost {
		*d = append((*d)[:0], (*d)[digestsMost:]...)
	}
	*d = append(*d, digestAt{position, digest})
}

// at returns the digest at a position, and false if it is not remembered.
func (d *digests) at(position uint64) (uint64, bool) {
	i, found := slices.BinarySearchFunc(*d, position, func(at digestAt, p uint64) int {
		return cmp.Compare(at.position, p)
	})
	if !found {
		i--
	}
	if i < 0 {
		return 0, false
	}
	return (*d)[i].digest, true
}
