package master

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// Forms of states, see the protocol. FormRead is the latest one that Restore reads.
const (
	formNames  = 1
	formBlocks = 2
	FormRead   = formBlocks
)

// numbersMost is the greatest number of sources, and of numbers of sources, of a state
// that travels in blocks.
const numbersMost = 1 << 20

// Parts yields the State as it is now, for another's Restore that reads a form, in
// messages with about limit bytes of names. Entries are applied meanwhile. A State in
// which nothing counts now has no parts.
func (s *State) Parts(limit int, form uint32) iter.Seq[*scoutv1.StatePart] {
	c := s.capture()
	return func(yield func(*scoutv1.StatePart) bool) {
		if c == nil {
			return
		}
		list := c.names(limit)
		if form >= formBlocks && c.list.Numbers() <= numbersMost {
			c.head.Form = formBlocks
			list = c.blocks(limit)
		}
		if !yield(&scoutv1.StatePart{Head: c.head}) {
			return
		}
		for i := range c.sessions {
			if !yield(&scoutv1.StatePart{Session: c.sessions[i].encode()}) {
				return
			}
		}
		list(yield)
	}
}

// blocks yields what is listed as the list has it.
func (c *capture) blocks(limit int) iter.Seq[*scoutv1.StatePart] {
	return func(yield func(*scoutv1.StatePart) bool) {
		serial := uint64(0)
		for p := range c.list.Parts(limit) {
			serial++
			if !yield(&scoutv1.StatePart{Blocks: p.Blocks, List: p.List, Serial: serial}) {
				return
			}
		}
	}
}

// names yields what is listed of each session.
func (c *capture) names(limit int) iter.Seq[*scoutv1.StatePart] {
	return func(yield func(*scoutv1.StatePart) bool) {
		names := make(map[*listing.Source]*nameParts, len(c.sessions))
		for i, x := range c.sessions {
			if x.source != nil {
				names[x.source] = &nameParts{of: uint64(i)}
			}
		}
		atOnce := min(limit, namesAtOnce)
		for e := c.list.Entries(); e.Next(); {
			p := names[e.Source()]
			if p.add(e.Name()); len(p.part) >= atOnce && !yield(p.take()) {
				return
			}
		}
		for _, x := range c.sessions {
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

// capture is a State at one position.
type capture struct {
	head     *scoutv1.StateHead
	sessions []session
	list     *listing.Version
}

// capture returns what there is at one position, or nil.
func (s *State) capture() *capture {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.adrift {
		return nil
	}
	list := s.list.Current()
	c := &capture{list: list, sessions: make([]session, 0, len(s.holders)), head: &scoutv1.StateHead{
		Epoch: s.epoch, Position: s.position, Revision: list.Revision, Digest: s.digest, Sessions: uint64(len(s.holders)), Format: s.format,
		Made: s.made,
	}}
	for _, i := range s.buried {
		c.head.Buried = append(c.head.Buried, uint64(i))
	}
	for _, m := range s.masters {
		c.head.Scoutmasters = append(c.head.Scoutmasters, &scoutv1.StateScoutmaster{
			Instance: uint64(m.instance), Tick: encodeTick(&m.tick), Phase: uint64(m.phase),
			Serial: m.serial, Suspected: m.suspected, Heard: m.heard,
		})
		for _, x := range m.sessions {
			c.sessions = append(c.sessions, *x) // encoded later, when entries do not wait for it
		}
	}
	return c
}

func (x *session) encode() *scoutv1.StateSession {
	m := &scoutv1.StateSession{
		Instance: uint64(x.id.Instance), Session: x.id.Number, Joined: encodeJoined(&x.scout),
		Phase: uint64(x.phase), Serial: x.serial, Listed: x.source != nil, Shown: encodeShown(x.names), Revision: x.revision,
		Hidden: &scoutv1.LogHidden{Reason: x.hiddenFor, Scanned: x.scanned}, Status: encodeStatus(x.condition),
	}
	if x.source != nil {
		m.Number = x.source.Number()
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
	// errBegun: the State needs no other's.
	errBegun = errors.New("an epoch has begun meanwhile")
	// errUnsound: a state is whole, and contradicts itself.
	errUnsound = errors.New("the state of another scoutmaster contradicts itself")
	// errNewer: entries have made the state that this version does not know.
	errNewer = errors.New("the state is of a newer version")
)

// Restore makes the State what Parts of another has yielded that follows the log
// that was made then. All sessions here have ended then. After an error nothing has
// changed.
func (s *State) Restore(made uint64, parts iter.Seq2[*scoutv1.StatePart, error]) error {
	return s.restore(made, parts, func() bool { return true })
}

// RestoreAdrift is Restore of a State that is adrift, which it may be no more once
// the parts have come: then an epoch has begun, and the State stays as it is.
func (s *State) RestoreAdrift(made uint64, parts iter.Seq2[*scoutv1.StatePart, error]) error {
	return s.restore(made, parts, func() bool { return s.adrift })
}

// restore is Restore if the State still wants it once the parts have come. It calls
// wanted while it holds mu.
func (s *State) restore(made uint64, parts iter.Seq2[*scoutv1.StatePart, error], wanted func() bool) error {
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
	if !wanted() {
		return errBegun
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
	s.masters, s.holders, s.buried = r.masters, r.holders, nil
	for _, i := range head.GetBuried() {
		s.buried = append(s.buried, Instance(i))
	}
	tx := s.list.Begin()
	defer tx.Commit()
	tx.Restart(s.epoch, s.position)
	r.show(tx)
	tx.At(head.GetRevision())
	s.watch.begun(s.epoch, reason)
	return nil
}

// received is a state that is being received.
type received struct {
	head     *scoutv1.StateHead
	masters  map[Instance]*scoutmaster
	holders  map[files.Origin]*session
	sessions []*receivedSession
	list     *listing.Import // of a state in blocks, once it begins
	blocks   uint64          // parts of it
}

type receivedSession struct {
	*session
	listed bool
	number uint32        // of the source in a state in blocks
	names  files.Builder // of a state in names
	set    *files.Set
}

// read reads all parts, and proves what they say.
func read(parts iter.Seq2[*scoutv1.StatePart, error]) (*received, error) {
	r := &received{masters: make(map[Instance]*scoutmaster), holders: make(map[files.Origin]*session)}
	err := r.takeAll(parts)
	if r.list != nil { // it ends its work also after an error
		err = cmp.Or(err, r.list.Finish())
	}
	if err == nil {
		err = r.prove()
	}
	return r, err
}

func (r *received) takeAll(parts iter.Seq2[*scoutv1.StatePart, error]) error {
	for p, err := range parts {
		if err == nil {
			err = r.take(p)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case !r.complete():
		return errNotWhole
	case r.head.GetForm() == formBlocks && r.list == nil:
		return r.beginList()
	}
	return nil
}

// complete reports whether all sessions have come.
func (r *received) complete() bool {
	return r.head != nil && uint64(len(r.sessions)) == r.head.GetSessions()
}

// prove checks that the names are what the sessions and the head say.
func (r *received) prove() error {
	digest := uint64(0)
	for _, x := range r.sessions {
		var names files.Totals
		switch {
		case r.list == nil:
			x.set = x.names.Set()
			names = files.Totals{Names: uint64(x.set.Len()), Bytes: x.set.Bytes(), Digest: x.set.Digest()}
		case x.listed:
			names = r.list.Totals(x.number)
		}
		if (Shown{names.Names, names.Digest}) != x.session.names {
			return errUnsound
		}
		if x.bytes = names.Bytes; x.listed {
			digest += x.hash()
		}
	}
	if digest != r.head.GetDigest() {
		return errUnsound
	}
	return nil
}

// show shows what is listed.
func (r *received) show(tx *listing.Tx) {
	if r.list != nil {
		sources := tx.Import(r.list)
		for _, x := range r.sessions {
			if x.listed {
				x.source = sources[x.number]
			}
		}
		return
	}
	for _, x := range r.sessions {
		if x.listed {
			x.source = tx.Show(x.scout.Origin, x.set, nil)
		}
	}
}

func (r *received) take(p *scoutv1.StatePart) error {
	switch {
	case p.GetHead() != nil:
		return r.takeHead(p.GetHead())
	case p.GetSession() != nil:
		return r.takeSession(p.GetSession())
	case r.head.GetForm() == formBlocks:
		if r.list == nil {
			if err := r.beginList(); err != nil {
				return err
			}
		}
		if r.blocks++; p.GetSerial() != r.blocks {
			return errNotWhole
		}
		return r.list.Add(listing.Part{List: p.GetList(), Blocks: p.GetBlocks()})
	case p.GetOf() >= uint64(len(r.sessions)):
		return errNotWhole
	}
	return r.sessions[p.GetOf()].names.Append(p.GetNames())
}

func (r *received) takeHead(head *scoutv1.StateHead) error {
	if r.head != nil {
		return errNotWhole
	}
	if head.GetFormat() > formatRead || head.GetForm() > FormRead {
		return errNewer
	}
	r.head = head
	for _, m := range head.GetScoutmasters() {
		if m.GetPhase() > uint64(masterLost) {
			return errUnsound
		}
		r.masters[Instance(m.GetInstance())] = &scoutmaster{
			instance: Instance(m.GetInstance()), tick: decodeTick(m.GetTick()), phase: masterPhase(m.GetPhase()),
			serial: m.GetSerial(), suspected: m.GetSuspected(), heard: m.GetHeard(), sessions: make(map[uint64]*session),
		}
	}
	return nil
}

// beginList begins the list of a state in blocks, once all sessions are known.
func (r *received) beginList() error {
	if !r.complete() {
		return errNotWhole
	}
	origins := make(map[uint32]files.Origin, len(r.sessions))
	for _, x := range r.sessions {
		if !x.listed {
			continue
		}
		if _, twice := origins[x.number]; twice || x.number >= numbersMost {
			return errUnsound
		}
		origins[x.number] = x.scout.Origin
	}
	r.list = listing.NewImport(origins)
	return nil
}

func (r *received) takeSession(p *scoutv1.StateSession) error {
	m := r.masters[Instance(p.GetInstance())]
	if m == nil || r.list != nil {
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
	listed := p.GetListed()
	if !x.may(listed) || m.sessions[x.id.Number] != nil || r.holders[x.scout.Origin] != nil {
		return errUnsound
	}
	m.sessions[x.id.Number], r.holders[x.scout.Origin] = x, x
	r.sessions = append(r.sessions, &receivedSession{session: x, listed: listed, number: p.GetNumber()})
	return nil
}

// may reports whether a session that holds its origin can be in its phase, and whether
// something can be listed of it then.
func (x *session) may(beListed bool) bool {
	if !beListed && x.names != (Shown{}) {
		return false
	}
	return x.phase == waiting || x.phase == hidden && !beListed || x.phase == shown && beListed
}
