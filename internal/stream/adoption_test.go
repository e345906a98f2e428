package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/internal/files"
	"scout/internal/files/filestest"
	scoutv1 "scout/proto/scout/v1"
)

// moveable is a scout of two masters, at the first one that shows its files.
type moveable struct {
	nets    []*network
	masters []*master
	at      int
	*client
}

func startMoveable(t *testing.T, names ...string) *moveable {
	t.Helper()
	nets, configure := several(t, 2)
	m := &moveable{nets: nets}
	for _, n := range nets {
		m.masters = append(m.masters, startMaster(t, n))
	}
	m.client = startScout(t, nets[0], newDirectory(names...), configure)
	time.Sleep(provenAfter)
	m.at = slices.IndexFunc(m.masters, func(m *master) bool { return len(m.registry.live()) == 1 })
	return m
}

// here is the master at which the scout is, there is the other one.
func (m *moveable) here() *master  { return m.masters[m.at] }
func (m *moveable) there() *master { return m.masters[1-m.at] }

// TestAdoption moves a scout to a master whose list has something of it.
func TestAdoption(t *testing.T) {
	for _, tc := range []struct {
		name string
		has  []string // what the list has; nil: nothing
		move func(d *fakeDirectory)
		want []string // what the second master is told
	}{
		{"the last state", []string{"a", "c", "d"}, func(*fakeDirectory) {}, []string{"keep 3"}},
		{"the state before", []string{"a", "c"}, func(*fakeDirectory) {}, []string{"keep 2", "apply 2: -0 +1"}},
		{"the first state", []string{"a", "b"}, func(*fakeDirectory) {}, []string{"keep 2", "apply 2: -1 +2"}},
		{"another state", []string{"a"}, func(*fakeDirectory) {}, []string{"reset 1: a c d"}},
		{"nothing", nil, func(*fakeDirectory) {}, []string{"reset 1: a c d"}},
		{"the disk has changed", []string{"a", "c"}, func(d *fakeDirectory) { d.list("a", "e") }, []string{"keep 2", "apply 2: -1 +1"}},
		{"the disk is empty", []string{"a", "c", "d"}, func(d *fakeDirectory) { d.list() }, []string{"keep 3", "apply 2: -3 +0"}},
		{"the disk is as it was", []string{"a", "b"}, func(d *fakeDirectory) { d.list("a", "b") }, []string{"keep 2"}},
		{"the disk is gone", []string{"a", "c"}, func(d *fakeDirectory) { d.cannot("vanished") }, []string{"keep 2", "hide vanished 0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := startMoveable(t, "a", "b")
				m.directory.list("a", "c")
				synctest.Wait()
				m.directory.list("a", "c", "d")
				synctest.Wait()
				before := m.here().registry.last().peer.Session
				if tc.has != nil {
					m.there().registry.keeping(func(Peer) *files.Set { return setOf(tc.has...) })
				}
				tc.move(m.directory)
				m.here().kill()
				synctest.Wait()
				moved := m.there().registry.last()
				if moved == nil || moved.peer.Before != before {
					t.Fatalf("it is registered as %+v", moved)
				}
				time.Sleep(10 * heartbeat)
				if got := moved.history(); !slices.Equal(got, tc.want) {
					t.Errorf("the master was told %q", got)
				}
				if n := m.there().logs.count("copy differs") + m.there().logs.count("protocol violation"); n > 0 {
					t.Errorf("%v", m.there().logs.seen.All())
				}
				m.directory.list("z")
				synctest.Wait()
				if got := namesOf(moved.shown()); !slices.Equal(got, []string{"z"}) {
					t.Errorf("then it shows %q", got)
				}
				_ = m.leave()
				synctest.Wait()
				m.there().none(t)
			})
		})
	}
}

// The states are those of all sessions, and end where the list must have forgotten
// them.
func TestStatesOutlastSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := startMoveable(t, "a")
		kept := []string{"a"}
		for _, master := range m.masters {
			master.registry.keeping(func(Peer) *files.Set { return setOf(kept...) })
		}
		for range 3 { // with no more than an adoption in each session
			m.here().kill()
			m.masters[m.at] = startMaster(t, m.nets[m.at])
			m.masters[m.at].registry.keeping(func(Peer) *files.Set { return setOf(kept...) })
			m.at = 1 - m.at
			time.Sleep(provenAfter)
			if got := m.here().registry.last().history(); !slices.Equal(got, []string{"keep 1"}) {
				t.Fatalf("the master was told %q", got)
			}
		}
		for i := range m.masters {
			m.masters[i].kill()
		}
		time.Sleep(2*deadline + staleMargin + lastRetry)
		m.masters[0] = startMaster(t, m.nets[0])
		m.masters[0].registry.keeping(func(Peer) *files.Set { return setOf(kept...) })
		time.Sleep(2 * lastRetry)
		if got := m.masters[0].registry.last().history(); !slices.Equal(got, []string{"reset 1: a"}) {
			t.Errorf("the master was told %q", got)
		}
	})
}

// A master that does not know adoption, and one that keeps what it was not offered.
func TestAdoptionByOtherMasters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		var mu sync.Mutex
		var hellos []*scoutv1.Hello
		startScripted(t, n, func(s serverStream) error {
			msg, err := s.Recv()
			if err != nil {
				return err
			}
			mu.Lock()
			hellos = append(hellos, msg.GetHello())
			call := len(hellos)
			mu.Unlock()
			w := welcome(heartbeat, deadline)
			w.GetWelcome().Session = fmt.Sprint("session ", call)
			if call == 3 {
				w.GetWelcome().Kept = &scoutv1.SentState{Count: 7}
			}
			_ = s.Send(w)
			if call == 3 {
				word(s)
				return nil
			}
			offer := word(s)
			_ = s.Send(grant)
			if got := word(s); offer != "offer" || got != "snapshot" {
				t.Errorf("call %d has %q and %q", call, offer, got)
			}
			return nil
		})
		startScout(t, n, newDirectory("a", "b"))
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		for i, want := range []struct {
			before string
			states int
		}{{"", 0}, {"session 1", 1}, {"session 2", 1}, {"session 2", 0}, {"session 4", 1}} {
			h := hellos[i]
			if h.GetBefore() != want.before || len(h.GetStates()) != want.states || !slices.Equal(h.GetFeatures(), []string{"adoption"}) {
				t.Errorf("Hello %d is %v", i, h)
			}
			for _, s := range h.GetStates() {
				if decodeState(s) != stateOf(setOf("a", "b")) {
					t.Errorf("Hello %d has the state %v", i, s)
				}
			}
		}
	})
}

// sayStates is a Hello of a scout that was in a session before.
func sayStates(features []string, sets ...*files.Set) *scoutv1.SessionRequest {
	msg := sayHello(web01)
	h := msg.GetHello()
	h.Features, h.Before = features, "before"
	for _, set := range sets {
		h.States = append(h.States, stateOf(set).encode())
	}
	return msg
}

// A scout that does not know adoption has nothing kept.
func TestAdoptionOfOtherScouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		m := startMaster(t, n)
		m.registry.keeping(func(Peer) *files.Set { return setOf("a") })
		for _, features := range [][]string{nil, {"something else"}} {
			r := openRaw(t, n)
			r.say(sayStates(features, setOf("a")))
			r.expect("Welcome without files", func(m *scoutv1.SessionResponse) bool {
				return m.GetWelcome() != nil && m.GetWelcome().GetKept() == nil
			})
			if p := m.registry.last().peer; p.Before != "" || p.Sent != nil {
				t.Errorf("it counts as %+v", p)
			}
			r.say(sayBeat(0, setOf()), sayOffer())
			r.expect("Grant", isGrant)
			r.say(saySnapshot(9, setOf("b"))...)
			synctest.Wait()
			if got := m.registry.last().history(); !slices.Equal(got, []string{"reset 9: b"}) {
				t.Errorf("the member was told %q", got)
			}
		}
		many := make([]*files.Set, mostStates+1)
		for i := range many {
			many[i] = setOf(fmt.Sprint(i))
		}
		r := openRaw(t, n)
		r.say(sayStates([]string{"x", featureAdoption}, many...))
		r.expect("Welcome", isWelcome)
		if p := m.registry.last().peer; p.Before != "before" || len(p.Sent) != mostStates {
			t.Errorf("it counts as %+v", p)
		}
	})
}

// What a scout may say once its files were kept, and what becomes of a lie.
func TestAfterAdoption(t *testing.T) {
	ab := setOf("a", "b")
	for _, tc := range []struct {
		name string
		say  []*scoutv1.SessionRequest
		want []string
		end  string
	}{
		{"a beat", []*scoutv1.SessionRequest{sayBeat(1, ab)}, nil, ""},
		{"a change", sayChange(2, ab, setOf("b", "c")), []string{"apply 2: -1 +1"}, ""},
		{"unavailable", []*scoutv1.SessionRequest{sayUnavailable("gone"), sayBeat(0, setOf())}, []string{"hide gone 0"}, ""},
		{"an offer", []*scoutv1.SessionRequest{sayOffer(), sayBeat(1, ab)}, nil, ""},
		{"a beat of nothing", []*scoutv1.SessionRequest{sayBeat(0, setOf())}, []string{"hide the copy differs, waiting for a snapshot 0"}, ""},
		{"a beat of something else", []*scoutv1.SessionRequest{sayBeat(1, setOf("a"))}, []string{"hide the copy differs, waiting for a snapshot 0"}, ""},
		{"a change of something else", sayChange(2, setOf("x"), setOf("y")), []string{"hide the copy differs, waiting for a snapshot 0"}, ""},
		{"a change with a revision of before", sayChange(8, ab, setOf("b", "c")), nil, "the revision jumps from 1 to 8"},
		{"a snapshot", saySnapshot(2, ab), nil, "a snapshot without a Grant"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n)
				m.registry.keeping(func(Peer) *files.Set { return ab })
				r := openRaw(t, n)
				r.say(sayStates([]string{featureAdoption}, setOf("c"), ab))
				r.expect("Welcome that keeps", func(m *scoutv1.SessionResponse) bool {
					return decodeState(m.GetWelcome().GetKept()) == stateOf(ab)
				})
				asked := m.registry.last().peer.Rescan()
				r.expect("Look", isLook(1))
				r.say(sayLooked(1))
				synctest.Wait()
				if !isClosed(asked) {
					t.Error("a Looked does not count")
				}
				r.say(tc.say...)
				synctest.Wait()
				if tc.end != "" {
					if err := r.end(); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), tc.end) {
						t.Errorf("the call ended with %v", err)
					}
					return
				}
				if got := m.registry.last().history(); !slices.Equal(got, append([]string{"keep 2"}, tc.want...)) {
					t.Errorf("the member was told %q", got)
				}
			})
		})
	}
}

// What was kept counts towards the limits.
func TestAdoptionWithinLimits(t *testing.T) {
	for name, limits := range map[string]Limits{
		"files of one": {FilesPerScout: 1}, "files": {Files: 1}, "bytes of one": {NameBytesPerScout: 5}, "bytes": {NameBytes: 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				m := startMaster(t, n, func(c *Config) { c.Limits = limits })
				set := setOf("aaa", "bbb")
				m.registry.keeping(func(Peer) *files.Set { return set })
				r := openRaw(t, n)
				r.say(sayStates([]string{featureAdoption}, set))
				if err := r.end(); status.Code(err) != codes.ResourceExhausted {
					t.Errorf("ended with %v", err)
				}
				if got := m.registry.last().lastWord(); got != "leave limit exceeded" {
					t.Errorf("the member was told %q", got)
				}
				synctest.Wait()
				m.none(t)
			})
		})
	}
}

// Each state that is offered can be gone back to, and what is remembered is bounded.
func TestSentStates(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		var s sentStates
		sets := make(map[SentState]*files.Set)
		set := new(files.Set)
		for revision := range 250 {
			next := changed(r, set, 1+r.IntN(30))
			if r.IntN(100) == 0 {
				next = changed(r, set, 2000)
			}
			u := update{revision: uint64(revision), reset: revision == 0 || r.IntN(60) == 0, delta: files.Diff(set, next), set: next}
			if u.reset {
				u.delta = files.Delta{Removed: new(files.Set), Added: next}
			}
			s.note(u)
			set, sets[stateOf(next)] = next, next
			if len(s.older) >= mostStates || s.size > mostStateBytes {
				t.Fatalf("%d states of %d bytes are remembered", len(s.older), s.size)
			}
			size := 0
			for _, o := range s.older {
				size += o.size()
			}
			if size != s.size {
				t.Fatalf("%d bytes count as %d", size, s.size)
			}
		}
		offered := s.offer()
		if decodeState(offered[0]) != stateOf(set) || len(offered) > mostStates {
			t.Errorf("%d states are offered", len(offered))
		}
		for _, offer := range offered {
			kept := decodeState(offer)
			again := s
			again.older = slices.Clone(s.older)
			got := again.adopt(kept)
			if got == nil || !slices.Equal(namesOf(got), namesOf(sets[kept])) {
				t.Fatalf("%v is not what it was", kept)
			}
			if stateOf(again.newest) != kept {
				t.Fatalf("the newest state is %v", stateOf(again.newest))
			}
		}
		if s.adopt(SentState{1, 2}) != nil || s.newest != nil || s.offer() != nil || s.size != 0 {
			t.Errorf("an unknown state was gone back to: %+v", s)
		}
	}
}

// changed is a set with n names added or removed at random.
func changed(r *rand.Rand, set *files.Set, n int) *files.Set {
	names := make(map[string]bool)
	for _, name := range namesOf(set) {
		names[name] = true
	}
	for range n {
		name := fmt.Sprintf("%03d-%s", r.IntN(800), strings.Repeat("long", 50))
		names[name] = !names[name]
	}
	return filestest.Set(listed(names)...)
}

// Only one address has to say that a live scout holds the origin.
func TestHeldAtOneOfSeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nets, configure := several(t, 3)
		var masters []*master
		for _, n := range nets {
			m := startMaster(t, n)
			m.registry.decide(func(context.Context, Peer) error { return &HeldError{web01, "another"} })
			masters = append(masters, m)
		}
		c := startScout(t, nets[0], newDirectory("a"), configure)
		synctest.Wait()
		if !isClosed(c.done) || c.err == nil || strings.Count(c.err.Error(), "watched by a live scout, another") != 1 {
			t.Errorf("Run returned %v", c.err)
		}
		attempts := 0
		for _, n := range nets {
			attempts += n.attempts()
		}
		if attempts != 1 {
			t.Errorf("%d addresses were asked", attempts)
		}
		for _, m := range masters {
			m.none(t)
		}
	})
}
