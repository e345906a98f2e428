package master

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"

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
	begin := s.list.Begin
	if len(entries) > 1 {
		begin = s.list.BeginBatch
	}
	tx := begin()
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
// beginning did not count here. One that knows nothing learns which epoch it is. One that
// is adrift takes note, and follows the log on: if nobody is in that epoch, another one
// has to begin.
func (s *State) behind(e *Entry) bool {
	if _, ok := e.Body.(*Begin); ok || e.Epoch <= s.epoch {
		return false
	}
	if s.blank {
		s.epoch = e.Epoch
		return false
	}
	s.wanted = max(s.wanted, e.Epoch)
	return !s.adrift
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
	if format <= firstFormat {
		return true
	}
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
