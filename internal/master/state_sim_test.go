package master

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// world is scoutmasters that share a log which delays, doubles, drops and
// truncates, and is made anew. Everything in it is random and repeatable.
type world struct {
	t    *testing.T
	rand *rand.Rand

	// The log.
	generation int      // counts how often it was made anew
	offset     uint64   // entries that fell out of the ring
	ring       [][]byte // the others
	late       [][]byte // will be in the log later

	followers []*follower
	writers   []*writer
	instances Instance
	epochs    uint64

	dumps    map[[3]uint64]string      // by generation, epoch and position
	sets     map[Shown]map[string]bool // all that were ever sent
	recent   map[files.Origin][]Shown  // the last that were sent
	expected map[SessionID][]Shown     // by serial: what the session shows after that entry
	happened map[string]int
}

// follower is a State that follows the log.
type follower struct {
	*State
	generation int
	serials    map[SessionID]uint64
}

// writer is a scoutmaster with the scouts that come to it.
type writer struct {
	home     *follower
	epoch    uint64
	instance Instance
	serial   uint64
	known    bool // its first Tick has counted
	number   uint64
	sessions map[uint64]*scoutSession
	results  map[[2]uint64]error // what home said, by session and serial
	silent   int                 // does not act so many times
}

// scoutSession is a session as its writer sees it.
type scoutSession struct {
	id      SessionID
	origin  files.Origin
	serial  uint64
	pending *Entry // nil: nothing is on its way
	after   Shown  // what it shows when that has counted
	names   map[string]bool
	left    bool
}

const (
	simFollowers = 4
	simWriters   = 3 // the home of each is one of the followers
	simOrigins   = 5
)

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 2)), epochs: 1, dumps: map[[3]uint64]string{},
		sets: map[Shown]map[string]bool{{}: {}}, recent: map[files.Origin][]Shown{}, expected: map[SessionID][]Shown{}, happened: map[string]int{},
	}
	for range simFollowers {
		w.followers = append(w.followers, w.follow())
	}
	for i := range simWriters {
		w.writers = append(w.writers, &writer{home: w.followers[i]})
	}
	w.begin(w.followers[0])
	return w
}

// follow returns a State that knows nothing.
func (w *world) follow() *follower {
	list := listing.New()
	tx := list.Begin()
	tx.Restart(1, 0)
	tx.Commit()
	s := NewState(list, nil)
	s.made = uint64(w.generation)
	return &follower{State: s, generation: w.generation, serials: map[SessionID]uint64{}}
}

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

// append puts an entry into the log, or does not, or twice, or later.
func (w *world) append(e *Entry) {
	if u, ok := e.Body.(*Update); ok && u.Delta.Added != nil {
		whole := slices.Collect(split(u, 1<<20))
		if len(whole) != 1 {
			w.t.Fatalf("%d parts", len(whole))
		}
		c := *e
		c.Body = whole[0]
		e = &c
	}
	message, err := encode(e)
	if err != nil {
		w.t.Fatal(err)
	}
	switch n := w.rand.IntN(100); {
	case n < 10:
		w.happened["dropped"]++
	case n < 20:
		w.late = append(w.late, message)
	case n < 35:
		w.happened["doubled"]++
		w.ring = append(w.ring, message, message)
	default:
		w.ring = append(w.ring, message)
	}
}

func (w *world) last() uint64 { return w.offset + uint64(len(w.ring)) }

// step lets something happen.
func (w *world) step() {
	switch n := w.rand.IntN(1000); {
	case n < 350:
		w.act(w.writers[w.rand.IntN(len(w.writers))])
	case n < 900:
		w.deliver(w.followers[w.rand.IntN(len(w.followers))])
	case n < 940 && len(w.late) > 0:
		i := w.rand.IntN(len(w.late))
		w.ring = append(w.ring, w.late[i])
		w.late = slices.Delete(w.late, i, i+1)
		w.happened["late"]++
	case n < 950:
		w.ring = append(w.ring, []byte("a stranger's message"))
	case n < 952 && len(w.ring) > 20:
		n := w.rand.IntN(len(w.ring))
		w.ring, w.offset = w.ring[n:], w.offset+uint64(n)
		w.happened["truncated"]++
	case n < 955: // a newcomer, or a restart
		i := simWriters + w.rand.IntN(simFollowers-simWriters)
		w.followers[i] = w.follow()
	case n == 956 && w.chance(15):
		w.generation++
		w.ring, w.offset = nil, 0
		w.happened["made anew"]++
	}
}

// begin writes the beginning of an epoch, as a follower does that finds none.
func (w *world) begin(f *follower) {
	w.epochs += 1 + w.rand.Uint64N(3)
	w.append(&Entry{Epoch: w.epochs, Body: &Begin{Before: f.epoch}})
}

// deliver brings a follower one entry further, or has it take another's state.
func (w *world) deliver(f *follower) {
	if f.generation != w.generation {
		f.generation = w.generation
		f.Rewritten(uint64(w.generation), 0)
	}
	if f.Position() < w.offset || f.adrift && w.chance(5) || f.epoch == 1 && w.chance(20) {
		w.restore(f)
		return
	}
	if f.Position() == w.last() {
		if f.adrift && w.chance(10) || f.epoch == 1 && len(w.ring) == 0 {
			w.begin(f)
		}
		return
	}
	position := f.Position() + 1
	if w.chance(5) { // something that was delivered before
		position -= min(position-w.offset-1, w.rand.Uint64N(5))
	}
	w.apply(f, position)
}

// restore gives a follower the state of another that can go on.
func (w *world) restore(f *follower) {
	for _, from := range w.followers {
		if from == f || from.generation != w.generation || from.adrift || from.epoch == 1 || from.Position() < w.offset {
			continue
		}
		err := f.Restore(uint64(w.generation), w.carry(from.Parts(50, formNames+w.rand.Uint32N(FormRead))))
		if errors.Is(err, errOld) {
			continue
		}
		if err != nil {
			w.t.Fatal(err)
		}
		clear(f.serials)
		w.happened["restored"]++
		w.check(f)
		return
	}
	w.begin(f) // nobody can help
	f.Rewritten(uint64(w.generation), w.offset)
}

// carry encodes and decodes the parts of a state.
func (w *world) carry(parts iter.Seq[*scoutv1.StatePart]) iter.Seq2[*scoutv1.StatePart, error] {
	return func(yield func(*scoutv1.StatePart, error) bool) {
		for p := range parts {
			message, err := proto.Marshal(p)
			var got scoutv1.StatePart
			if err = errors.Join(err, proto.Unmarshal(message, &got)); !yield(&got, err) {
				return
			}
		}
	}
}

// apply applies the entry at a position, and checks all that must be true then.
func (w *world) apply(f *follower, position uint64) {
	message := w.ring[position-w.offset-1]
	e, err := decode(message)
	if err != nil {
		e = noEntry
	}
	before, holder, free := f.list.Current(), (*session)(nil), false
	j, joining := e.Body.(*Joined)
	if joining {
		if holder = f.holders[j.Origin]; holder != nil {
			free = f.masters[holder.id.Instance].phase != masterLive
		}
	}
	listed := w.listed(before)
	again := position <= f.Position()
	buried, burying := e.Body.(*Buried)
	if burying && f.masters[buried.Of] != nil && len(f.masters[buried.Of].sessions) > 0 && f.masters[buried.Of].phase != masterLive && !again {
		defer func() { // perhaps
			if f.masters[buried.Of] == nil {
				w.happened["buried"]++
			}
		}()
	}
	verdict := f.Apply(position, e)
	if errors.Is(verdict, ErrGap) { // others are in a later epoch
		w.happened["behind"]++
		w.restore(f)
		return
	}
	if errors.Is(verdict, ErrUnknown) {
		w.t.Fatal(verdict)
	}
	x := f.find(e.Session)
	fresh := joining && x != nil && f.serials[x.id] == 0
	if fresh && holder != nil {
		w.happened["taken over"]++
		if !free && holder.id != j.Replaces {
			w.t.Fatalf("%v has the origin of %v, and was to replace %v", x.id, holder.id, j.Replaces)
		}
	}
	if fresh && x.source != nil && slices.ContainsFunc(j.Has, func(h Shown) bool { return h.Count == x.names.Count && h.Digest != x.names.Digest }) {
		w.happened["lied"]++
	}
	if fresh && x.phase == shown && !slices.Contains(j.Has, x.names) {
		w.t.Fatalf("%v has adopted %v, of %v", x.id, x.names, j.Has)
	}
	w.checkRevision(before, f.list.Current(), listed, again, verdict, e)
	w.check(f)
	for _, wr := range w.writers {
		if wr.home == f && wr.instance == e.Session.Instance && wr.epoch == e.Epoch && !again {
			w.heard(wr, e, verdict)
		}
	}
}

// checkRevision: a revision is an entry that changed something, and the other way
// round.
func (w *world) checkRevision(before, after *listing.Version, listed string, again bool, verdict error, e *Entry) {
	now := w.listed(after)
	if before.Revision == after.Revision && before.Epoch == after.Epoch {
		if now != listed {
			w.t.Fatalf("%T changes the list without a revision", e.Body)
		}
		return
	}
	if again || errors.Is(verdict, errNotCounted) {
		w.t.Fatalf("%T makes a revision and does not count", e.Body)
	}
	switch e.Body.(type) {
	case *Tick, *Suspect, *Lost, *Leaving, *Status:
		w.t.Fatalf("%T makes a revision", e.Body)
	case *Joined, *Hidden, *Left:
		if now == listed {
			w.t.Fatalf("%T makes a revision and changes nothing", e.Body)
		}
	}
}

// listed returns a list as text.
func (w *world) listed(v *listing.Version) string {
	var b strings.Builder
	for e := v.Entries(); e.Next(); {
		fmt.Fprintf(&b, "%s %s\n", e.Source().Origin.Host, e.Name())
	}
	return b.String()
}

// check compares a follower with all others that were at its position, and with
// what the writers have sent.
func (w *world) check(f *follower) {
	digest := uint64(0)
	sets := setsOf(f.list.Current())
	for origin, x := range f.holders {
		if m := f.masters[x.id.Instance]; m == nil || m.sessions[x.id.Number] != x || x.scout.Origin != origin {
			w.t.Fatalf("%v holds %v, and is unknown", x.id, origin)
		}
		if x.source != nil {
			digest += x.hash()
			set := new(files.Set)
			if b := sets[x.source]; b != nil {
				set = b.Set()
			}
			delete(sets, x.source)
			if names := (Shown{uint64(set.Len()), set.Digest()}); names != x.names {
				w.t.Fatalf("%v: %v is listed, want %v", x.id, names, x.names)
			}
		}
		if x.serial < f.serials[x.id] {
			w.t.Fatalf("%v: serial %d after %d", x.id, x.serial, f.serials[x.id])
		}
		f.serials[x.id] = x.serial
		if want := w.expected[x.id]; x.serial > 1 && x.verdict == nil && x.phase != waiting && len(x.parts) == 0 && x.names != want[x.serial] {
			w.t.Fatalf("%v shows %v after serial %d, want %v", x.id, x.names, x.serial, want[x.serial])
		}
	}
	if len(sets) > 0 || digest != f.digest {
		w.t.Fatalf("%d sources are listed that nobody shows, or the digest %x is not %x", len(sets), f.digest, digest)
	}
	if f.adrift {
		return
	}
	key, now := [3]uint64{uint64(f.generation), f.epoch, f.Position()}, f.dump()
	if was, ok := w.dumps[key]; !ok {
		w.dumps[key] = now
	} else if was != now {
		w.t.Fatalf("at position %d of epoch %d one has\n%s\nand another\n%s", f.Position(), f.epoch, was, now)
	}
}

// dump is all that a State knows.
func (f *follower) dump() string {
	var b strings.Builder
	v := f.list.Current()
	fmt.Fprintln(&b, f.epoch, f.position, v.Epoch, v.Position, v.Revision, f.digest, f.buried)
	for _, i := range slices.Sorted(maps.Keys(f.masters)) {
		m := f.masters[i]
		fmt.Fprintln(&b, "master", i, m.tick, m.phase, m.serial, m.suspected, m.heard)
		for _, n := range slices.Sorted(maps.Keys(m.sessions)) {
			x := m.sessions[n]
			fmt.Fprintln(&b, "session", x.id, x.scout.Origin, x.phase, x.serial, x.source != nil, x.names, x.revision,
				x.hiddenFor, x.scanned, x.condition, len(x.parts))
		}
	}
	for e := v.Entries(); e.Next(); {
		fmt.Fprintf(&b, "%s %s\n", e.Source().Origin.Host, e.Name())
	}
	return b.String()
}

// heard is what a writer makes of one of its entries that its home has applied.
func (w *world) heard(wr *writer, e *Entry, verdict error) {
	if e.Session.Number == 0 {
		wr.known = wr.known || verdict == nil
		return
	}
	s := wr.sessions[e.Session.Number]
	if s == nil {
		if _, ok := e.Body.(*Joined); ok && verdict == nil && wr.home.find(e.Session) != nil {
			w.happened["abandoned"]++
			s = &scoutSession{id: e.Session, serial: 1}
			wr.sessions[e.Session.Number] = s
			w.send(s, wr, &Left{string(stream.LeftBroken)}, Shown{})
		}
		return
	}
	if key := [2]uint64{s.id.Number, e.Serial}; wr.results[key] == nil {
		wr.results[key] = cmp.Or(verdict, errDone)
	}
}

var errDone = errors.New("done")

// act lets a writer say something, or say again what has not counted yet.
func (w *world) act(wr *writer) {
	f := wr.home
	if wr.epoch != f.epoch || wr.known && f.masters[wr.instance] == nil || wr.known && f.masters[wr.instance].phase != masterLive {
		w.instances++
		*wr = writer{home: f, epoch: f.epoch, instance: w.instances, sessions: map[uint64]*scoutSession{}, results: map[[2]uint64]error{}}
	}
	if f.epoch == 1 || f.adrift {
		return
	}
	if wr.silent > 0 {
		wr.silent--
		return
	}
	if w.chance(1) {
		wr.silent = 300
	}
	if !wr.known {
		wr.serial = 1
		w.append(&Entry{Epoch: wr.epoch, Session: SessionID{Instance: wr.instance}, Serial: 1, Body: &Tick{}})
		return
	}
	if w.chance(25) {
		w.actMaster(wr)
		return
	}
	if len(wr.sessions) == 0 || len(wr.sessions) < 3 && w.chance(20) {
		wr.number++
		s := &scoutSession{
			id: SessionID{wr.instance, wr.number}, names: map[string]bool{},
			origin: files.Origin{Host: fmt.Sprint("host-", w.rand.IntN(simOrigins)), Directory: "/d"},
		}
		wr.sessions[s.id.Number] = s
		w.join(s, wr, SessionID{})
		return
	}
	keys := slices.Sorted(maps.Keys(wr.sessions))
	w.actSession(wr, wr.sessions[keys[w.rand.IntN(len(keys))]])
}

// actMaster ticks, or buries others.
func (w *world) actMaster(wr *writer) {
	m := wr.home.masters[wr.instance]
	others := slices.Sorted(maps.Keys(wr.home.masters))
	of := others[w.rand.IntN(len(others))]
	var body Body = &Tick{Position: wr.home.position, Digest: wr.home.digest}
	switch n := w.rand.IntN(200); {
	case n < 20 && of != wr.instance:
		body = &Suspect{of}
	case n < 70 && of != wr.instance && wr.home.masters[of].suspected != 0:
		body = &Lost{of, wr.home.masters[of].suspected}
	case n < 100 && wr.home.masters[of].phase != masterLive:
		body = &Buried{of}
	case n == 100:
		body = &Leaving{}
	}
	w.append(&Entry{Epoch: wr.epoch, Session: SessionID{Instance: wr.instance}, Serial: m.serial + 1, Body: body})
}

// join asks for the scout's origin; what it shows of it now may be what the scout
// has.
func (w *world) join(s *scoutSession, wr *writer, replaces SessionID) {
	j := &Joined{Origin: s.origin, Session: fmt.Sprint(s.id), Replaces: replaces}
	if x := wr.home.holders[s.origin]; x != nil && w.chance(90) {
		j.Before = x.scout.Session
		for _, state := range append(w.recent[s.origin], x.names) {
			if w.chance(50) {
				state.Digest++ // a lie
			}
			j.Has = append(j.Has, state)
		}
	}
	s.serial = 0
	w.send(s, wr, j, Shown{})
}

// send appends the next entry of a session.
func (w *world) send(s *scoutSession, wr *writer, body Body, after Shown) {
	s.serial++
	s.pending = &Entry{Epoch: wr.epoch, Session: s.id, Serial: s.serial, Body: body}
	s.after = after
	want := w.expected[s.id]
	for uint64(len(want)) <= s.serial {
		want = append(want, Shown{})
	}
	want[s.serial] = after
	recent := w.recent[s.origin]
	w.recent[s.origin] = append(slices.Clone(recent[max(0, len(recent)-3):]), after)
	w.expected[s.id] = want
	w.append(s.pending)
}

func (w *world) actSession(wr *writer, s *scoutSession) {
	if s.pending != nil {
		result := wr.results[[2]uint64{s.id.Number, s.pending.Serial}]
		if _, leaving := s.pending.Body.(*Left); leaving && (result != nil || s.left && wr.home.find(s.id) == nil) {
			delete(wr.sessions, s.id.Number)
			return
		}
		if result == nil {
			if s.serial == 1 && w.chance(10) { // the scout has lost patience
				delete(wr.sessions, s.id.Number)
			} else if w.chance(50) {
				w.append(s.pending)
			}
			return
		}
		if !w.settle(wr, s, result) {
			return
		}
	}
	if wr.home.find(s.id) == nil { // it was replaced
		delete(wr.sessions, s.id.Number)
		return
	}
	w.say(wr, s)
}

// settle is what a session makes of what has become of its entry. It reports
// whether the session goes on.
func (w *world) settle(wr *writer, s *scoutSession, result error) bool {
	held, refused := errors.AsType[*heldError](result)
	pending := s.pending
	s.pending = nil
	switch {
	case refused:
		delete(wr.results, [2]uint64{s.id.Number, 1})
		if w.chance(50) {
			w.join(s, wr, held.holder.id)
		} else {
			delete(wr.sessions, s.id.Number)
		}
		return false
	case !errors.Is(result, errDone):
		if !errors.Is(result, errNotCounted) {
			w.t.Fatalf("%T of %v: %v", pending.Body, s.id, result)
		}
		delete(wr.sessions, s.id.Number)
		return false
	}
	if x := wr.home.find(s.id); x != nil && pending.Serial == 1 && x.phase == shown {
		w.happened["adopted"]++
		s.after = x.names
		s.names = maps.Clone(w.sets[x.names])
	}
	return true
}

// say lets a scout say something new.
func (w *world) say(wr *writer, s *scoutSession) {
	x := wr.home.find(s.id)
	switch n := w.rand.IntN(100); {
	case x.phase != shown && n < 60, n < 10:
		s.names = map[string]bool{}
		for range w.rand.IntN(6) {
			s.names[fmt.Sprint("f", w.rand.IntN(10))] = true
		}
		set := setOf(s.names)
		after := w.remember(s.names)
		w.send(s, wr, &Update{Reset: true, Delta: files.Delta{Added: set}, Revision: s.serial, Shown: after}, after)
	case x.phase == shown && n < 70:
		before := setOf(s.names)
		name := fmt.Sprint("f", w.rand.IntN(10))
		if s.names[name] {
			delete(s.names, name)
		} else {
			s.names[name] = true
		}
		after := w.remember(s.names)
		w.send(s, wr, &Update{Delta: files.Diff(before, setOf(s.names)), Revision: s.serial, Shown: after}, after)
	case n < 85:
		clear(s.names)
		w.send(s, wr, &Hidden{Reason: "gone", Scanned: s.serial}, Shown{})
	case n < 92 && x.phase != waiting:
		w.send(s, wr, &Status{stream.Condition{Polled: s.serial}}, x.names)
	case n < 97:
		s.left = true
		w.send(s, wr, &Left{string(stream.LeftDeregistered)}, Shown{})
	}
}

func (w *world) remember(names map[string]bool) Shown {
	set := setOf(names)
	after := Shown{uint64(set.Len()), set.Digest()}
	w.sets[after] = maps.Clone(names)
	return after
}

func setOf(names map[string]bool) *files.Set {
	return filestest.Set(slices.Collect(maps.Keys(names))...)
}

// applyAtOnce compares a State to which the log is applied entry by entry with one
// to which many entries are applied at once. They are equal, and so is the history
// of their lists. It returns how many revisions that has.
func (w *world) applyAtOnce() (revisions int) {
	var lists [2]*listing.Listing
	var states [2]*State
	for i := range states {
		lists[i] = listing.New()
		tx := lists[i].Begin()
		tx.Restart(1, 0)
		tx.Commit()
		defer lists[i].Watch()()
		states[i] = newcomer(lists[i], nil)
		states[i].Rewritten(0, w.offset)
	}
	var entries []*Entry
	for _, message := range w.ring {
		e, err := decode(message)
		if err != nil {
			e = noEntry
		}
		entries = append(entries, e)
	}
	for i := 0; i < len(entries); {
		n := min(len(entries)-i, 1+w.rand.IntN(50))
		var one []error
		for k, e := range entries[i : i+n] {
			one = append(one, states[0].Apply(w.offset+uint64(i+k)+1, e))
		}
		all, err := states[1].ApplyAll(w.offset+uint64(i)+1, entries[i:i+n])
		if err != nil {
			all = append(all, err)
			n = len(all)
		}
		if len(all) != n || fmt.Sprint(one[:n]) != fmt.Sprint(all) {
			w.t.Fatalf("%v entry by entry, and %v at once", one, all)
		}
		if err != nil { // the others are in a later epoch
			break
		}
		i += n
	}
	a, b := &follower{State: states[0]}, &follower{State: states[1]}
	if one, all := a.dump(), b.dump(); one != all {
		w.t.Fatalf("entry by entry:\n%s\nat once:\n%s", one, all)
	}
	for from := lists[0].Current().Revision; ; from-- {
		one, ok := lists[0].Since(from, everybody)
		all, too := lists[1].Since(from, everybody)
		if ok != too {
			w.t.Fatalf("the changes since %d are known: %v entry by entry, %v at once", from, ok, too)
		}
		if !ok || from == 0 {
			return revisions
		}
		revisions++
		if w.changed(one) != w.changed(all) {
			w.t.Fatalf("since %d:\n%s\nat once:\n%s", from, w.changed(one), w.changed(all))
		}
	}
}

// changed returns changes as text.
func (w *world) changed(c *listing.Changes) string {
	var b strings.Builder
	fmt.Fprintln(&b, c.Revision)
	for d := c.Removed(); d.Next(); {
		fmt.Fprintf(&b, "-%s %s\n", d.Source().Origin.Host, d.Name())
	}
	for d := c.Added(); d.Next(); {
		fmt.Fprintf(&b, "+%s %s\n", d.Source().Origin.Host, d.Name())
	}
	return b.String()
}

// Whatever the log does, States at one position are equal, and what they show is
// what the sessions have said.
func TestStatesOverAFaultyLog(t *testing.T) {
	happened := map[string]int{}
	for seed := range uint64(30) {
		w := newWorld(t, seed)
		for range 5000 {
			w.step()
		}
		for range 100 { // all that is still to come
			for _, f := range w.followers {
				w.deliver(f)
			}
		}
		for what, n := range w.happened {
			happened[what] += n
		}
		happened["positions"] += len(w.dumps)
		happened["applied at once"] += w.applyAtOnce()
	}
	for _, what := range []string{"applied at once", "dropped", "doubled", "late", "truncated", "made anew", "restored", "taken over", "adopted", "lied", "abandoned", "buried"} {
		if happened[what] == 0 {
			t.Errorf("%q has happened %d times", what, happened[what])
		}
	}
	t.Log(happened)
}

// setsOf returns the names of each source that has any.
func setsOf(list *listing.Version) map[*listing.Source]*files.Builder {
	sets := make(map[*listing.Source]*files.Builder)
	for e := list.Entries(); e.Next(); {
		b := sets[e.Source()]
		if b == nil {
			b = new(files.Builder)
			sets[e.Source()] = b
		}
		b.Add(e.Name())
	}
	return sets
}
