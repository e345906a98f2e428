package master

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// script applies entries to a State, the next position each.
type script struct {
	testing.TB
	*State
	serials map[SessionID]uint64
}

func newScript(t testing.TB) *script {
	t.Helper()
	s := &script{t, NewState(listing.New(), nil), map[SessionID]uint64{}}
	for i := range Instance(3) {
		if err := s.say(i+1, 0, &Tick{Name: fmt.Sprint("master ", i+1)}); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// say applies the next entry of a session.
func (s *script) say(i Instance, number uint64, body Body) error {
	id := SessionID{i, number}
	s.serials[id]++
	return s.repeat(id, s.serials[id], body)
}

func (s *script) repeat(id SessionID, serial uint64, body Body) error {
	return s.Apply(s.Position()+1, &Entry{Epoch: s.epoch, Session: id, Serial: serial, Body: body})
}

func (s *script) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func joining(names ...string) *Joined {
	j := &Joined{Origin: home, Session: "s", Address: "a"}
	if names != nil {
		j.Has = append(j.Has, Shown{}, shownOf(names...))
	}
	return j
}

func shownOf(names ...string) Shown {
	set := filestest.Set(names...)
	return Shown{uint64(set.Len()), set.Digest()}
}

func snapshot(names ...string) *Update {
	set := filestest.Set(names...)
	return &Update{Reset: true, Delta: files.Delta{Added: set}, Revision: 1, Shown: shownOf(names...)}
}

func (s *script) expect(names ...string) {
	s.Helper()
	var got []string
	for e := s.list.Current().Entries(); e.Next(); {
		got = append(got, string(e.Name()))
	}
	if !slices.Equal(got, names) {
		s.Errorf("listed: %q, want %q", got, names)
	}
}

// revises reports whether f makes a revision.
func (s *script) revises(f func()) bool {
	before := s.list.Current().Revision
	f()
	v := s.list.Current()
	if v.Position != s.Position() {
		s.Errorf("the list is at position %d, the State at %d", v.Position, s.Position())
	}
	return v.Revision != before
}

// A Joined counts only if nobody holds the origin, or the holder is the session
// that it replaces.
func TestJoinedNeedsTheOrigin(t *testing.T) {
	s := newScript(t)
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x")))
	second := joining()
	for _, second.Replaces = range []SessionID{{}, {1, 2}, {2, 1}} {
		var held *heldError
		if err := s.repeat(SessionID{2, 1}, 1, second); !errors.As(err, &held) || held.holder.id != (SessionID{1, 1}) {
			t.Errorf("replaces %v: %v", second.Replaces, err)
		}
	}
	if err := s.say(2, 1, snapshot("late")); !errors.Is(err, errNotCounted) {
		t.Errorf("a session that holds nothing is heard: %v", err)
	}
	s.expect("x")
	second.Replaces = SessionID{1, 1}
	s.must(s.repeat(SessionID{2, 1}, 1, second))
	s.expect()
	if err := s.say(1, 1, snapshot("late")); !errors.Is(err, errNotCounted) {
		t.Errorf("a session that was replaced is heard: %v", err)
	}
	s.expect()
}

// An entry that comes twice, or late, has one effect, and its writer is told the
// same.
func TestSerials(t *testing.T) {
	s := newScript(t)
	id := SessionID{1, 1}
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x")))
	add := &Update{Delta: files.Delta{Removed: filestest.Set(), Added: filestest.Set("y")}, Revision: 2, Shown: shownOf("x", "y")}
	s.must(s.say(1, 1, add))
	s.must(s.repeat(id, 3, add))
	s.expect("x", "y")
	if err := s.repeat(id, 2, snapshot("x")); !errors.Is(err, errNotCounted) {
		t.Errorf("an old entry: %v", err)
	}
	if err := s.repeat(id, 5, snapshot("z")); !errors.Is(err, errNotCounted) {
		t.Errorf("an entry whose predecessor is missing: %v", err)
	}
	s.expect("x", "y")
	wrong := &Update{Delta: add.Delta, Revision: 3, Shown: shownOf("x", "y", "z")}
	first := s.say(1, 1, wrong)
	if again := s.repeat(id, 4, wrong); first == nil || errors.Is(first, errNotCounted) || again != first { //nolint:errorlint // the very same
		t.Errorf("an update that does not fit: %v, again: %v", first, again)
	}
	s.expect()
	if err := s.repeat(id, 5, &Left{"deregistered"}); err != nil {
		t.Error(err)
	}
	if err := s.repeat(id, 5, &Left{"deregistered"}); !errors.Is(err, errNotCounted) {
		t.Errorf("a session leaves twice: %v", err)
	}
}

// Only what changes names, or who shows them, is a revision.
func TestRevisions(t *testing.T) {
	s := newScript(t)
	s.must(s.say(1, 1, joining()))
	for _, tc := range []struct {
		what string
		do   func()
		want bool
	}{
		{"a tick", func() { s.must(s.say(1, 0, &Tick{})) }, false},
		{"hidden before it was shown", func() { s.must(s.say(1, 1, &Hidden{Reason: "scanning"})) }, false},
		{"a snapshot", func() { s.must(s.say(1, 1, snapshot("x"))) }, true},
		{"a status", func() { s.must(s.say(1, 1, &Status{stream.Condition{Polled: 1}})) }, false},
		{"an update of nothing", func() {
			s.must(s.say(1, 1, &Update{Delta: files.Delta{Removed: filestest.Set(), Added: filestest.Set()}, Shown: shownOf("x")}))
		}, false},
		{"a stranger's message", func() { s.Apply(s.Position()+1, noEntry) }, false},
		{"an entry of another epoch", func() { s.Apply(s.Position()+1, &Entry{Epoch: s.epoch - 1, Body: new(Status)}) }, false},
		{"an entry again", func() { s.Apply(s.Position(), noEntry) }, false},
		{"a suspicion", func() { s.must(s.say(2, 0, &Suspect{1})) }, false},
		{"a loss", func() { s.must(s.say(2, 0, &Lost{1, s.Position()})) }, false},
		{"an adoption", func() { s.must(s.say(2, 1, joining("x"))) }, false},
		{"hidden", func() { s.must(s.say(2, 1, &Hidden{Reason: "gone"})) }, true},
		{"shown", func() { s.must(s.say(2, 1, snapshot("y"))) }, true},
		{"left", func() { s.must(s.say(2, 1, &Left{"stream broken"})) }, true},
	} {
		if got := s.revises(tc.do); got != tc.want {
			t.Errorf("%s makes a revision: %v", tc.what, got)
		}
	}
}

// A scout that comes to another scoutmaster goes on with what it showed if it has
// just that. Otherwise its files stay until its snapshot comes, if its scoutmaster
// is lost or leaving, or if it is known to be the same scout.
func TestTakeover(t *testing.T) {
	lose := func(s *script) {
		s.must(s.say(2, 0, &Suspect{1}))
		s.must(s.say(2, 0, &Lost{1, s.Position()}))
	}
	leave := func(s *script) { s.must(s.say(1, 0, new(Leaving))) }
	nothing := func(*script) {}
	same := func(j *Joined) { j.Before = "s" }
	again := func(j *Joined) { j.Before = "first" } // it has not learned of the session "s"
	other := func(*Joined) {}
	for _, tc := range []struct {
		name    string
		before  func(*script)
		who     func(*Joined)
		has     []string
		shown   []string
		adopted bool
	}{
		{"lost, has it", lose, other, []string{"x", "y"}, []string{"x", "y"}, true},
		{"lost, has something else", lose, other, []string{"x", "z"}, []string{"x", "y"}, false},
		{"lost, has nothing", lose, other, nil, []string{"x", "y"}, false},
		{"leaving, has it", leave, other, []string{"x", "y"}, []string{"x", "y"}, true},
		{"leaving, has nothing", leave, other, nil, []string{"x", "y"}, false},
		{"stale, has it", nothing, same, []string{"x", "y"}, []string{"x", "y"}, true},
		{"stale, has something else", nothing, same, []string{"x"}, []string{"x", "y"}, false},
		{"stale, not told that it was let in", nothing, again, []string{"x"}, []string{"x", "y"}, false},
		{"stale, another scout", nothing, other, []string{"x"}, nil, false},
		{"stale, another scout with the same files", nothing, other, []string{"x", "y"}, []string{"x", "y"}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newScript(t)
			first := joining()
			first.Before = "first"
			s.must(s.say(1, 1, first))
			u := snapshot("x", "y")
			u.Revision = 5
			s.must(s.say(1, 1, u))
			tc.before(s)
			s.expect("x", "y")
			j := joining(tc.has...)
			tc.who(j)
			j.Replaces = SessionID{1, 1}
			digest := s.digest
			s.must(s.say(2, 1, j))
			s.expect(tc.shown...)
			if (s.digest == digest) != (tc.shown != nil) {
				t.Errorf("the digest was %x and is %x", digest, s.digest)
			}
			kept, listed := s.keptOf(SessionID{2, 1})
			if want := (stream.Kept{SentState: stream.SentState(shownOf("x", "y")), Bytes: 2}); (kept != nil) != tc.adopted || kept != nil && *kept != want {
				t.Errorf("kept: %+v", kept)
			}
			if listed != (tc.shown != nil) {
				t.Errorf("listed: %v", listed)
			}
			if got := s.find(SessionID{2, 1}).revision; tc.adopted != (got == 1) {
				t.Errorf("revision %d", got)
			}
			err := s.say(2, 1, &Update{
				Delta:    files.Delta{Removed: filestest.Set("x"), Added: filestest.Set()},
				Revision: 7, Shown: shownOf("y"),
			})
			if adopted := err == nil; adopted != tc.adopted {
				t.Errorf("adopted: %v, %v", adopted, err)
			}
			if kept, _ := s.keptOf(SessionID{2, 1}); tc.adopted && kept.Bytes != 1 {
				t.Errorf("%d bytes are left", kept.Bytes)
			}
			s.must(s.say(2, 1, snapshot("new")))
			s.expect("new")
			s.must(s.say(3, 0, &Buried{1}))
			s.expect("new")
		})
	}
}

// A scoutmaster that is silent is suspected, lost and buried; its files stay until
// then, and all go at once. A word of it refutes the suspicion.
func TestLoss(t *testing.T) {
	s := newScript(t)
	for n := range uint64(3) {
		j := joining()
		j.Origin.Host = fmt.Sprint("host-", n)
		s.must(s.say(1, n+1, j))
		s.must(s.say(1, n+1, snapshot(fmt.Sprint("x", n))))
	}
	s.must(s.say(2, 0, &Suspect{1}))
	suspect := s.Position()
	s.must(s.say(1, 1, &Status{}))
	s.must(s.say(2, 0, &Lost{1, suspect}))
	if s.masters[1].phase != masterLive {
		t.Fatal("a suspicion that was refuted counts")
	}
	s.must(s.say(3, 0, &Buried{1}))
	s.must(s.say(3, 0, &Suspect{1}))
	suspect = s.Position()
	s.must(s.say(2, 0, &Suspect{1}))
	s.must(s.say(2, 0, &Lost{1, suspect + 1}))
	if s.masters[1].phase != masterLive {
		t.Fatal("a Lost counts that names another entry")
	}
	s.must(s.say(2, 0, &Lost{1, suspect}))
	if err := s.say(1, 1, snapshot("late")); !errors.Is(err, errNotCounted) {
		t.Errorf("a lost scoutmaster's session is heard: %v", err)
	}
	if err := s.say(1, 0, &Tick{}); !errors.Is(err, errNotCounted) {
		t.Errorf("a lost scoutmaster is heard: %v", err)
	}
	s.expect("x0", "x1", "x2")
	if !s.revises(func() { s.must(s.say(2, 0, &Buried{1})) }) {
		t.Error("a burial makes no revision")
	}
	s.expect()
	if s.digest != 0 || len(s.holders) != 0 || s.masters[1] != nil {
		t.Errorf("digest %x, %d holders, %v", s.digest, len(s.holders), s.masters[1])
	}
	if err := s.repeat(SessionID{Instance: 1}, 1, &Tick{}); !errors.Is(err, errNotCounted) {
		t.Errorf("a scoutmaster comes back from its grave: %v", err)
	}
}

// What a scoutmaster says counts once, however late it comes again.
func TestSerialsOfScoutmasters(t *testing.T) {
	s := newScript(t)
	s.must(s.say(2, 0, &Suspect{1}))
	s.must(s.say(1, 0, &Tick{}))
	if err := s.repeat(SessionID{Instance: 2}, s.serials[SessionID{Instance: 2}], &Suspect{1}); !errors.Is(err, errNotCounted) {
		t.Errorf("a suspicion counts twice: %v", err)
	}
	if err := s.repeat(SessionID{Instance: 2}, s.serials[SessionID{Instance: 2}]+2, &Leaving{}); !errors.Is(err, errNotCounted) {
		t.Errorf("an entry counts whose predecessor is missing: %v", err)
	}
	if s.masters[1].suspected != 0 || s.masters[2].phase != masterLive {
		t.Errorf("%+v, %+v", s.masters[1], s.masters[2])
	}
}

// whole yields the State's Parts.
func (s *script) whole(form uint32) iter.Seq2[*scoutv1.StatePart, error] {
	return func(yield func(*scoutv1.StatePart, error) bool) {
		for p := range s.Parts(1, form) {
			if !yield(p, nil) {
				return
			}
		}
	}
}

// A State goes on where another was, in the middle of an update too. A state that
// is not what it says it is is not taken.
func TestRestore(t *testing.T) {
	for _, form := range []uint32{formNames, formBlocks} {
		t.Run(fmt.Sprint("form ", form), func(t *testing.T) { testRestore(t, form) })
	}
}

func testRestore(t *testing.T, form uint32) {
	s := newScript(t)
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x", "y")))
	s.must(s.say(2, 0, &Tick{}))
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprint("f", 1000+i))
	}
	parts := slices.Collect(split(snapshot(names...), 1000))
	s.must(s.say(1, 1, parts[0]))
	s.must(s.say(1, 1, parts[1]))

	send := func(change func(i int, p *scoutv1.StatePart) *scoutv1.StatePart) iter.Seq2[*scoutv1.StatePart, error] {
		return func(yield func(*scoutv1.StatePart, error) bool) {
			i := 0
			for p := range s.Parts(1, form) {
				if p = change(i, p); p != nil && !yield(p, nil) {
					return
				}
				i++
			}
		}
	}
	to := &script{t, NewState(listing.New(), nil), s.serials}
	epoch := to.epoch
	for name, change := range map[string]func(i int, p *scoutv1.StatePart) *scoutv1.StatePart{
		"no head": func(i int, p *scoutv1.StatePart) *scoutv1.StatePart {
			return map[bool]*scoutv1.StatePart{false: p}[i == 0]
		},
		"no session": func(i int, p *scoutv1.StatePart) *scoutv1.StatePart {
			return map[bool]*scoutv1.StatePart{false: p}[i == 1]
		},
		"names missing": func(i int, p *scoutv1.StatePart) *scoutv1.StatePart {
			return map[bool]*scoutv1.StatePart{false: p}[i == 2]
		},
		"another digest": func(_ int, p *scoutv1.StatePart) *scoutv1.StatePart {
			if p.GetHead() != nil {
				p.Head.Digest++
			}
			return p
		},
		"other names": func(_ int, p *scoutv1.StatePart) *scoutv1.StatePart {
			if n := slices.Concat(p.GetNames(), p.GetBlocks()); len(n) > 0 {
				n[len(n)-1]++
				p = &scoutv1.StatePart{Names: n, Blocks: n, Of: p.GetOf(), List: p.GetList(), Serial: p.GetSerial()}
			}
			return p
		},
		"of an unknown scoutmaster": func(_ int, p *scoutv1.StatePart) *scoutv1.StatePart {
			if p.GetSession() != nil {
				p.Session.Instance = 9
			}
			return p
		},
	} {
		if err := to.Restore(0, send(change)); err == nil || to.epoch != epoch || to.Position() != 0 {
			t.Errorf("%s: error %v, epoch %d, position %d", name, err, to.epoch, to.Position())
		}
	}
	if err := to.Restore(1, s.whole(form)); !errors.Is(err, errOld) {
		t.Errorf("a state of another log: %v", err)
	}
	adrift := newScript(t)
	adrift.Rewritten(0, 0)
	if err := to.Restore(0, adrift.whole(form)); !errors.Is(err, errNotWhole) {
		t.Errorf("of a State in which nothing counts: %v", err)
	}
	s.must(to.Restore(0, send(func(_ int, p *scoutv1.StatePart) *scoutv1.StatePart { return p })))
	to.expect("x", "y")
	if kept, _ := to.keptOf(SessionID{1, 1}); kept == nil || kept.Bytes != 2 {
		t.Errorf("of the names are known: %+v", kept)
	}
	for _, p := range parts[2:] {
		s.must(to.say(1, 1, p))
	}
	to.expect(names...)
}

// Of a state in blocks each part is needed, once, in its place, and as it was.
func TestRestoreOfDamagedBlocks(t *testing.T) {
	s := newScript(t)
	for i := range uint64(3) {
		j := joining()
		j.Origin.Host = fmt.Sprint("host-", i)
		s.must(s.say(1, i+1, j))
		s.must(s.say(1, i+1, snapshot("a", "b/c", fmt.Sprint("d", i), "e\xff")))
		if i == 1 {
			s.must(s.list.Merge())
		}
	}
	parts := slices.Collect(s.Parts(1, formBlocks))
	first := slices.IndexFunc(parts, func(p *scoutv1.StatePart) bool { return p.GetBlocks() != nil })
	if n := len(parts) - first; n < 2 {
		t.Fatalf("there are %d parts with blocks", n)
	}
	refused := func(what string, parts ...*scoutv1.StatePart) {
		t.Helper()
		to := newcomer(listing.New(), nil)
		err := to.Restore(0, func(yield func(*scoutv1.StatePart, error) bool) {
			for _, p := range parts {
				if !yield(p, nil) {
					return
				}
			}
		})
		if err == nil || len(to.holders) > 0 || to.list.Current().Len > 0 {
			t.Errorf("%s: error %v, %d names", what, err, to.list.Current().Len)
		}
	}
	for i := first; i < len(parts); i++ {
		before, p, after := parts[:i], parts[i], parts[i+1:]
		refused(fmt.Sprint("lost: ", i), slices.Concat(before, after)...)
		refused(fmt.Sprint("doubled: ", i), slices.Concat(before, []*scoutv1.StatePart{p, p}, after)...)
		for k := range p.GetBlocks() {
			for _, flip := range []byte{0x01, 0x80} {
				blocks := slices.Clone(p.GetBlocks())
				blocks[k] ^= flip
				damaged := &scoutv1.StatePart{Blocks: blocks, List: p.GetList(), Serial: p.GetSerial()}
				refused(fmt.Sprintf("part %d, byte %d", i, k), slices.Concat(before, []*scoutv1.StatePart{damaged}, after)...)
			}
		}
	}
	refused("in another order", slices.Concat(parts[:first], parts[first+1:], parts[first:first+1])...)
	refused("a session afterwards", append(slices.Clone(parts), parts[first-1])...)
	for what, p := range map[string]*scoutv1.StateSession{
		"one number twice": {Number: parts[first-2].GetSession().GetNumber()},
		"a large number":   {Number: numbersMost},
	} {
		x := proto.CloneOf(parts[first-1].GetSession())
		x.Number = p.GetNumber()
		refused(what, slices.Concat(parts[:first-1], []*scoutv1.StatePart{{Session: x}}, parts[first:])...)
	}
}

// FuzzRestore takes any state, and goes on with it.
func FuzzRestore(f *testing.F) {
	s := newScript(f)
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x", "y")))
	for form := range uint32(FormRead) {
		var state []byte
		for p := range s.Parts(1, form+1) {
			part, err := proto.Marshal(p)
			if err != nil {
				f.Fatal(err)
			}
			state = append(binary.AppendUvarint(state, uint64(len(part))), part...)
		}
		f.Add(state)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		to := newcomer(listing.New(), nil)
		if to.Restore(0, partsOf(state)) != nil {
			if to.list.Current().Len > 0 || len(to.holders) > 0 {
				t.Fatal("a state that was refused has changed something")
			}
			return
		}
		n := 0
		for e := to.list.Current().Entries(); e.Next(); {
			n++
		}
		if n != to.list.Current().Len {
			t.Fatalf("%d entries, Len is %d", n, to.list.Current().Len)
		}
		for _, m := range to.masters {
			for _, x := range m.sessions {
				e := &Entry{Epoch: to.epoch, Session: x.id, Serial: x.serial + 1, Body: &Update{Delta: files.Delta{Removed: filestest.Set(), Added: filestest.Set("new")}}}
				to.Apply(to.Position()+1, e) // the names may be there
				e.Serial, e.Body = e.Serial+1, &Left{}
				to.Apply(to.Position()+1, e) // its scoutmaster may be lost
			}
		}
	})
}

// partsOf yields the parts of a state, each after its length.
func partsOf(state []byte) iter.Seq2[*scoutv1.StatePart, error] {
	return func(yield func(*scoutv1.StatePart, error) bool) {
		for len(state) > 0 {
			n, k := binary.Uvarint(state)
			if k <= 0 || n > uint64(len(state)-k) {
				yield(nil, errNotWhole)
				return
			}
			p := new(scoutv1.StatePart)
			err := proto.Unmarshal(state[k:k+int(n)], p)
			if !yield(p, err) {
				return
			}
			state = state[k+int(n):]
		}
	}
}

// An update in parts is shown when the last has come, and one that is cut off by
// something else never is.
func TestUpdatesInParts(t *testing.T) {
	var names []string
	for i := range 5000 {
		names = append(names, fmt.Sprintf("directory/%05d", i))
	}
	s := newScript(t)
	s.must(s.say(1, 1, joining()))
	parts := slices.Collect(split(snapshot(names...), 1000))
	if len(parts) < 10 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, p := range parts {
		s.expect()
		if p.More != (i < len(parts)-1) {
			t.Errorf("part %d of %d: more is %v", i, len(parts), p.More)
		}
		s.must(s.say(1, 1, p))
	}
	s.expect(names...)
	s.must(s.say(1, 1, parts[0]))
	s.must(s.say(1, 1, &Hidden{Reason: "scanning"}))
	s.must(s.say(1, 1, slices.Collect(split(snapshot("x"), 1000))[0]))
	s.expect("x")
}

// A new epoch empties everything, and the first of two that follow one epoch
// counts. After the log was made anew nothing counts before.
func TestEpochs(t *testing.T) {
	s := newScript(t)
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x")))
	s.epoch = 100 // so that others come after it
	s.Rewritten(1, 3)
	if err := s.Apply(4, &Entry{Epoch: 100, Session: SessionID{1, 1}, Serial: 3, Body: &Hidden{}}); !errors.Is(err, errNotCounted) {
		t.Errorf("an entry counts before the log has an epoch: %v", err)
	}
	s.expect("x")
	s.must(s.Apply(5, &Entry{Epoch: 200, Body: &Begin{Before: 100}}))
	s.expect()
	for i, e := range []Entry{
		{Epoch: 300, Body: &Begin{Before: 100}},
		{Epoch: 150, Body: &Begin{Before: 200}},
		{Epoch: 100, Session: SessionID{Instance: 1}, Serial: 4, Body: &Tick{}},
	} {
		if err := s.Apply(6+uint64(i), &e); !errors.Is(err, errNotCounted) {
			t.Errorf("entry %d counts: %v", i, err)
		}
	}
	if v := s.list.Current(); v.Epoch != 200 || v.Revision != 5 || v.Position != 8 {
		t.Errorf("epoch %d, revision %d, position %d", v.Epoch, v.Revision, v.Position)
	}
	if err := s.Apply(10, noEntry); !errors.Is(err, ErrGap) {
		t.Errorf("a gap: %v", err)
	}
}

// A State that meets a kind of entry that it does not know cannot go on.
func TestUnknownEntries(t *testing.T) {
	s := newScript(t)
	if err := s.Apply(s.Position()+1, &Entry{Epoch: s.epoch, Session: SessionID{Instance: 1}, Serial: 2}); !errors.Is(err, ErrUnknown) {
		t.Errorf("error %v", err)
	}
	if err := s.Apply(s.Position()+1, &Entry{Epoch: s.epoch, Session: SessionID{Instance: 9}, Serial: 1}); !errors.Is(err, errNotCounted) {
		t.Errorf("of an unknown scoutmaster: %v", err)
	}
}

// differing is a watcher that counts who had another list.
type differing struct {
	nobody
	at []uint64
}

func (d *differing) compared(_ *scoutmaster, position uint64, same bool, _ int) {
	if !same {
		d.at = append(d.at, position)
	}
}

// A Tick tells when its writer had another list at a position.
func TestDigestsAreCompared(t *testing.T) {
	s, d := newScript(t), new(differing)
	s.watch = d
	s.must(s.say(1, 1, joining()))
	s.must(s.say(1, 1, snapshot("x")))
	first, digest := s.Position(), s.digest
	s.must(s.say(1, 1, snapshot("y")))
	for _, tick := range []Tick{{Position: first, Digest: digest}, {Position: first - 1}, {Position: s.Position(), Digest: s.digest}, {Position: s.Position() + 1, Digest: s.digest}} {
		s.must(s.say(2, 0, &tick))
	}
	if d.at != nil {
		t.Errorf("equal lists differ at %v", d.at)
	}
	s.must(s.say(2, 0, &Tick{Position: first, Digest: digest + 1}))
	s.must(s.say(2, 0, &Tick{Position: first + 1, Digest: digest}))
	if !slices.Equal(d.at, []uint64{first, first + 1}) {
		t.Errorf("lists differ at %v", d.at)
	}
}

// Every kind of entry comes through the log as it was, and no other message is
// taken for an entry.
func TestCodec(t *testing.T) {
	j := joining("x")
	j.Origin.Directory, j.Replaces, j.Before, j.Version, j.Registered = "/\xff", SessionID{7, 8}, "b", "v", time.Unix(1, 2).UTC()
	for _, body := range []Body{
		&Begin{5, "r"}, &Tick{"n", "u", "v", "a", 6, 7, 13, 8, time.Minute}, &Suspect{8}, &Lost{9, 10}, &Buried{11}, &Leaving{}, j,
		&Update{Reset: true, More: true, Parts: Parts{[]byte("r"), []byte("a")}},
		&Update{Parts: Parts{nil, []byte("a")}, Revision: 3, Shown: Shown{4, 5}},
		&Hidden{"reason", 12}, &Status{stream.Condition{Unreadable: 1, Polled: 2, Incomplete: "i", PollRound: time.Second}}, &Left{"left"},
	} {
		e := &Entry{Epoch: 1, Session: SessionID{2, 3}, Serial: 4, Body: body}
		message, err := encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(message)
		if err != nil || fmt.Sprintf("%+v %+v", got, got.Body) != strings.ReplaceAll(fmt.Sprintf("%+v %+v", e, e.Body), fmt.Sprintf("%p", e.Body), fmt.Sprintf("%p", got.Body)) {
			t.Errorf("%T: %+v, %v", body, got.Body, err)
		}
		message[len(message)/2]++
		if _, err := decode(message); !errors.Is(err, errStranger) {
			t.Errorf("%T, changed: %v", body, err)
		}
	}
	for _, stranger := range []string{"", "hello", strings.Repeat("\x00", 20)} {
		if e, err := decode([]byte(stranger)); !errors.Is(err, errStranger) {
			t.Errorf("%q is %+v", stranger, e)
		}
	}
	if _, err := encode(&Entry{}); err == nil {
		t.Error("an entry without a body is encoded")
	}
}

// A session that the log lets in after its scout has gone does not stay.
func TestAnAbandonedSessionLeaves(t *testing.T) {
	r := NewRegistry(listing.New(), zap.NewNop())
	id := SessionID{r.life.instance, 77}
	if err := r.log.Append(t.Context(), &Entry{Epoch: r.life.epoch, Session: id, Serial: 1, Body: joining()}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); len(r.state.sessions(everybody)) > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it stays")
		}
	}
}
