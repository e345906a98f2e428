package master

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// Parts yields the State as it is now, for another's Restore, in messages with
// about limit bytes of names. Entries are applied meanwhile. A State in which
// nothing counts now has no parts.
func (s *State) Parts(limit int) iter.Seq[*scoutv1.StatePart] {
	head, sessions, list := s.capture()
	return func(yield func(*scoutv1.StatePart) bool) {
		if head == nil {
			return
		}
		if !yield(&scoutv1.StatePart{Head: head}) {
			return
		}
		names := make(map[*listing.Source]*nameParts, len(sessions))
		for i, x := range sessions {
			if !yield(&scoutv1.StatePart{Session: x.encoded}) {
				return
			}
			if x.source != nil {
				names[x.source] = &nameParts{of: uint64(i)}
			}
		}
		atOnce := min(limit, namesAtOnce)
		for e := list.Entries(); e.Next(); {
			p := names[e.Source()]
			if p.add(e.Name()); len(p.part) >= atOnce && !yield(p.take()) {
				return
			}
		}
		for _, x := range sessions {
			if p := names[x.source]; p != nil && len(p.part) > 0 && !yield(p.take()) {
				return
			}
		}
	}
}

// namesAtOnce is about how many bytes of names of each session wait until they are a
// part.
const namesAtOnce = 4 << 10

// nameParts encodes the names of one session, as they travel.
type nameParts struct {
	of   uint64
	part []byte
	last []byte // name in the part
}

func (p *nameParts) add(name []byte) {
	shared := 0
	for most := min(len(name), len(p.last)); shared < most && name[shared] == p.last[shared]; {
		shared++
	}
	p.part = binary.AppendUvarint(p.part, uint64(shared))
	p.part = binary.AppendUvarint(p.part, uint64(len(name)-shared))
	p.part = append(p.part, name[shared:]...)
	p.last = append(p.last[:shared], name[shared:]...)
}

// take returns the part, and begins another.
func (p *nameParts) take() *scoutv1.StatePart {
	part := &scoutv1.StatePart{Names: p.part, Of: p.of}
	p.part, p.last = make([]byte, 0, cap(p.part)), p.last[:0]
	return part
}

// captured is a session at the moment of a capture.
type captured struct {
	encoded *scoutv1.StateSession
	source  *listing.Source
}

// capture returns what there is at one position, or nil.
func (s *State) capture() (*scoutv1.StateHead, []captured, *listing.Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adrift {
		return nil, nil, nil
	}
	list := s.list.Current()
	head := &scoutv1.StateHead{
		Epoch: s.epoch, Position: s.position, Revision: list.Revision, Digest: s.digest, Sessions: uint64(len(s.holders)), Format: s.format,
		Made: s.made,
	}
	for _, i := range s.buried {
		head.Buried = append(head.Buried, uint64(i))
	}
	sessions := make([]captured, 0, len(s.holders))
	for _, m := range s.masters {
		head.Scoutmasters = append(head.Scoutmasters, &scoutv1.StateScoutmaster{
			Instance: uint64(m.instance), Tick: encodeTick(&m.tick), Phase: uint64(m.phase),
			Serial: m.serial, Suspected: m.suspected, Heard: m.heard,
		})
		for _, x := range m.sessions {
			sessions = append(sessions, captured{x.encode(), x.source})
		}
	}
	return head, sessions, list
}

func (x *session) encode() *scoutv1.StateSession {
	m := &scoutv1.StateSession{
		Instance: uint64(x.id.Instance), Session: x.id.Number, Joined: encodeJoined(&x.scout),
		Phase: uint64(x.phase), Serial: x.serial, Listed: x.source != nil, Shown: encodeShown(x.names), Revision: x.revision,
		Hidden: &scoutv1.LogHidden{Reason: x.hiddenFor, Scanned: x.scanned}, Status: encodeStatus(x.condition),
	}
	for _, p := range x.parts {
		m.Parts = append(m.Parts, encodeUpdate(&Update{More: true, Parts: p}))
	}
	return m
}

var (
	// errNotWhole: parts of a state are missing, or are not what they say.
	errNotWhole = errors.New("the state is not whole")
	// errOld: the state is of an epoch before that of an entry that came, or of a log
	// that was.
	errOld = errors.New("the state is of an earlier epoch than the log")
	// errUnsound: a state is whole, and contradicts itself.
	errUnsound = errors.New("the state of another scoutmaster contradicts itself")
	// errNewer: entries have made the state that this version does not know.
	errNewer = errors.New("the state is of a newer version")
)

// Restore makes the State what Parts of another has yielded that follows the log
// that was made then. All sessions here have ended then. After an error nothing has
// changed.
func (s *State) Restore(made uint64, parts iter.Seq2[*scoutv1.StatePart, error]) error {
	r, err := read(parts)
	if err != nil {
		return fmt.Errorf("take the state of another scoutmaster: %w", err)
	}
	defer s.advanced.Wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	head := r.head
	if head.GetEpoch() < s.wanted || head.GetMade() != made {
		return errOld
	}
	reason := ""
	if !s.blank && s.epoch != head.GetEpoch() {
		reason = "another scoutmaster is in a later epoch"
	}
	for _, x := range s.holders {
		x.end(stream.LeftStopping)
	}
	s.made, s.epoch, s.position, s.digest = made, head.GetEpoch(), head.GetPosition(), head.GetDigest()
	s.digests, s.adrift, s.blank, s.format = digests{{s.position, s.digest}}, false, false, head.GetFormat()
	s.masters, s.holders, s.buried = r.masters, make(map[files.Origin]*session, len(r.sessions)), nil
	for _, i := range head.GetBuried() {
		s.buried = append(s.buried, Instance(i))
	}
	tx := s.list.Begin()
	defer tx.Commit()
	tx.Restart(s.epoch, s.position)
	for _, x := range r.sessions {
		s.holders[x.scout.Origin] = x.session
		if x.listed {
			x.source, x.bytes = tx.Show(x.scout.Origin, x.set, nil), x.set.Bytes()
		}
	}
	tx.At(head.GetRevision())
	s.watch.begun(s.epoch, reason)
	return nil
}

// received is a state that is being received.
type received struct {
	head     *scoutv1.StateHead
	masters  map[Instance]*scoutmaster
	sessions []*receivedSession
}

type receivedSession struct {
	*session
	listed bool
	names  files.Builder
	set    *files.Set
}

// read reads all parts, and proves what they say.
func read(parts iter.Seq2[*scoutv1.StatePart, error]) (*received, error) {
	r := &received{masters: make(map[Instance]*scoutmaster)}
	for p, err := range parts {
		if err == nil {
			err = r.take(p)
		}
		if err != nil {
			return nil, err
		}
	}
	if r.head == nil || uint64(len(r.sessions)) != r.head.GetSessions() {
		return nil, errNotWhole
	}
	digest := uint64(0)
	for _, x := range r.sessions {
		if x.set = x.names.Set(); uint64(x.set.Len()) != x.session.names.Count || x.set.Digest() != x.session.names.Digest {
			return nil, errUnsound
		}
		if x.listed {
			digest += x.hash()
		}
	}
	if digest != r.head.GetDigest() {
		return nil, errUnsound
	}
	return r, nil
}

func (r *received) take(p *scoutv1.StatePart) error {
	switch {
	case p.GetHead() != nil:
		if r.head != nil {
			return errNotWhole
		}
		if p.GetHead().GetFormat() > formatRead {
			return errNewer
		}
		r.head = p.GetHead()
		for _, m := range r.head.GetScoutmasters() {
			r.masters[Instance(m.GetInstance())] = &scoutmaster{
				instance: Instance(m.GetInstance()), tick: decodeTick(m.GetTick()), phase: masterPhase(m.GetPhase()),
				serial: m.GetSerial(), suspected: m.GetSuspected(), heard: m.GetHeard(), sessions: make(map[uint64]*session),
			}
		}
		return nil
	case p.GetSession() != nil:
		return r.takeSession(p.GetSession())
	case p.GetOf() >= uint64(len(r.sessions)):
		return errNotWhole
	}
	return r.sessions[p.GetOf()].names.Append(p.GetNames())
}

func (r *received) takeSession(p *scoutv1.StateSession) error {
	m := r.masters[Instance(p.GetInstance())]
	if m == nil {
		return errNotWhole
	}
	x := &session{
		id: SessionID{m.instance, p.GetSession()}, scout: decodeJoined(p.GetJoined()), phase: phase(p.GetPhase()),
		serial: p.GetSerial(), names: decodeShown(p.GetShown()), revision: p.GetRevision(),
		hiddenFor: p.GetHidden().GetReason(), scanned: p.GetHidden().GetScanned(), condition: decodeStatus(p.GetStatus()),
		withheld: make(chan struct{}),
	}
	x.origin = hashOf(x.scout.Origin)
	if x.phase == hidden {
		close(x.withheld)
	}
	for _, u := range p.GetParts() {
		x.parts = append(x.parts, decodeUpdate(u).Parts)
	}
	m.sessions[x.id.Number] = x
	r.sessions = append(r.sessions, &receivedSession{session: x, listed: p.GetListed()})
	return nil
}
