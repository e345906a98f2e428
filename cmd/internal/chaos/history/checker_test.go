package history

import (
	"testing"
	"time"
)

// tick is the unit of the histories below.
const tick = time.Second

// bounds make a change due after 2 ticks, a silent scout gone after 4 + 1, a
// dead one after 1, and all well 8 ticks after a fault.
var bounds = Usual(1*tick, 3*tick, 1)

// script writes histories.
type script struct {
	events []Event
	faults int
	shown  map[string]map[string]bool
}

func name(path string) []Name { return []Name{{Scout: 0, Path: []byte(path)}} }

// at returns the event at n ticks.
func at(n float64, e Event) Event {
	e.At = time.Duration(n * float64(tick))
	return e
}

// come adds a name between two times.
func (s *script) come(path string, begin, end float64) { s.operation(begin, end, nil, name(path)) }

// gone removes a name between two times.
func (s *script) gone(path string, begin, end float64) { s.operation(begin, end, name(path), nil) }

func (s *script) operation(begin, end float64, gone, come []Name) {
	id := len(s.events) + 1
	s.events = append(s.events, at(begin, Event{Begin: &Operation{ID: id, Gone: gone, Come: come}}), at(end, Event{End: id}))
}

// fault adds a fault from begin to end. An end of 0 leaves it on.
func (s *script) fault(kind Kind, scout int, begin, end float64) {
	s.faults++
	step := func(n float64, stage Stage) {
		s.events = append(s.events, at(n, Event{Fault: &Step{ID: s.faults, Kind: kind, Scout: scout, Stage: stage}}))
	}
	step(begin, Begins)
	step(begin, On)
	if end > 0 {
		step(end, Off)
		step(end, Over)
	}
}

// list adds a list of names of scout 0 that was requested and received at the same
// time.
func (s *script) list(when float64, paths ...string) *List {
	l := &List{Consumer: "c", Start: at(when, Event{}).At}
	now := map[string]bool{}
	for _, p := range paths {
		now[p] = true
		if !s.shown["c"][p] {
			l.Came = append(l.Came, name(p)...)
		}
	}
	for p := range s.shown["c"] {
		if !now[p] {
			l.Went = append(l.Went, name(p)...)
		}
	}
	s.shown = map[string]map[string]bool{"c": now}
	s.events = append(s.events, at(when, Event{List: l}))
	return l
}

func TestCheck(t *testing.T) {
	check(t, bounds, []scene{
		{"a name listed in time", func(s *script) {
			s.list(1)
			s.come("a", 10, 10.1)
			s.list(11.9)
			s.list(12, "a")
			s.list(20, "a")
		}, nil},
		{"a name never listed", func(s *script) {
			s.come("a", 10, 10.1)
			s.list(12)
			s.list(12.2)
		}, []Rule{Missing}},
		{"a name listed late, in vain", func(s *script) {
			s.come("a", 10, 10.1)
			s.gone("a", 12, 12.1)
			s.list(13)
		}, nil},
		{"a name listed while it comes", func(s *script) {
			s.come("a", 10, 12)
			s.list(10.1, "a")
		}, nil},
		{"a name listed before it came", func(s *script) {
			s.list(9, "a")
			s.come("a", 10, 10.1)
		}, []Rule{Stale}},
		{"a name listed for too long", func(s *script) {
			s.come("a", 1, 1.1)
			s.gone("a", 10, 10.1)
			s.list(12, "a")
			s.list(12.2, "a")
		}, []Rule{Stale}},
		{"a name listed again out of the past", func(s *script) {
			s.come("a", 1, 1.1)
			s.gone("a", 10, 10.1)
			s.list(15)
			s.list(16, "a")
		}, []Rule{Stale}},
		{"a name that comes and goes all the time", func(s *script) {
			for i := range 20 {
				s.come("a", 10+float64(i), 10.1+float64(i))
				s.gone("a", 10.5+float64(i), 10.6+float64(i))
			}
			s.list(28)
			s.list(29, "a")
		}, nil},
		{"a slow change, with a slow connection", func(s *script) {
			s.come("a", 10, 10.1)
			s.fault(Slow, 0, 11, 15)
			s.list(16)
			s.list(16.2)
		}, []Rule{Missing}},
		{"a killed scout", func(s *script) {
			s.come("a", 1, 1.1)
			s.list(10, "a")
			s.fault(Dead, 0, 20, 0)
			s.list(20.9, "a")
			s.list(21.1)
			s.list(60)
		}, nil},
		{"a killed scout that is listed", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Dead, 0, 20, 0)
			s.list(21.1, "a")
		}, []Rule{Lives}},
		{"a killed scout that brings its past", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Dead, 0, 20, 30)
			s.gone("a", 25, 25.1)
			s.list(31, "a")
		}, []Rule{Stale}},
		{"a killed scout that does not come back", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Dead, 0, 20, 30)
			s.list(37.9)
			s.list(40.1)
		}, []Rule{Missing}},
		{"a stopped scout within its deadline", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Frozen, 0, 20, 0)
			s.gone("a", 21, 21.1)
			s.list(24.9, "a")
		}, nil},
		{"a stopped scout past its deadline", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Frozen, 0, 20, 0)
			s.list(25.1, "a")
		}, []Rule{Lives}},
		{"a stopped scout whose master is stopped too", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Frozen, 0, 20, 0)
			s.fault(MasterFrozen, All, 22, 30)
			s.list(34.9, "a")
			s.list(35.1, "a")
		}, []Rule{Lives}},
		{"a scout killed where nothing passes", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Silent, 0, 19, 0)
			s.fault(Dead, 0, 20, 0)
			s.list(23, "a")
			s.list(24.1, "a")
		}, []Rule{Lives}},
		{"a deaf scout that was stopped", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Deaf, 0, 20, 0)
			s.fault(Frozen, 0, 21, 23)
			s.list(27.9, "a")
			s.list(28.1, "a")
		}, []Rule{Lives}},
		{"a directory moved away that is listed", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Moved, 0, 20, 0)
			s.list(21.9, "a")
			s.list(22.1, "a")
		}, []Rule{Lives}},
		{"a machine that stalls", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Stalled, All, 10, 11)
			s.list(14.9)
			s.list(15.1)
		}, []Rule{Missing}},
		{"a machine that stalls for long", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Stalled, All, 10, 12)
			s.list(21.9)
			s.list(22.1)
		}, []Rule{Missing}},
		{"another scout's faults", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Dead, 1, 10, 0)
			s.list(20)
		}, []Rule{Missing}},
		{"no answer while the master is down", func(s *script) {
			s.fault(MasterDead, All, 10, 12)
			s.list(11).Error = "refused"
		}, nil},
		{"no answer", func(s *script) { s.list(11).Error = "refused" }, []Rule{Unanswered}},
		{"not a list", func(s *script) { s.list(11).Wrong = "a twice" }, []Rule{Malformed}},
		{"half a list, as asked for", func(s *script) {
			s.come("ab", 1, 1.1)
			s.come("b", 1, 1.1)
			s.list(10, "ab").Prefix = "a"
			s.list(11).Prefix = "a"
		}, []Rule{Missing}},
		{"revisions that go on", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 5, 55)
			s.tag(3, 6, 66)
		}, nil},
		{"a revision that goes back", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 4, 44)
		}, []Rule{Backwards}},
		{"a revision overtaken on its way", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 4, 44).Start = tick / 2
		}, nil},
		{"a revision used again", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 5, 66)
		}, []Rule{Reused}},
	})
}

// Several masters share a list: one that is asked without an ETag may be behind
// another, and the death of one hides nothing.
func TestCheckOfSeveralMasters(t *testing.T) {
	check(t, bounds.Shared(4*tick, 1), []scene{
		{"one that is behind another", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 4, 44)
		}, nil},
		{"one list at one revision", func(s *script) {
			s.tag(1, 5, 55)
			s.tag(2, 4, 44)
			s.tag(3, 5, 66)
		}, []Rule{Reused}},
		{"time runs backwards for one who knows better", func(s *script) {
			l := s.tag(2, 4, 44)
			l.HadEpoch, l.HadRevision = "e", 5
		}, []Rule{Backwards}},
		{"an earlier epoch for one who knows better", func(s *script) {
			l := s.tag(2, 9, 44)
			l.HadEpoch, l.HadRevision = "f", 5
		}, []Rule{Backwards}},
		{"a later epoch", func(s *script) {
			l := s.tag(2, 1, 44)
			l.HadEpoch, l.HadRevision = "d", 5
		}, nil},
		{"a name hidden by the death of a master", func(s *script) {
			s.come("a", 10, 10.1)
			s.list(30, "a")
			s.fault(OneMaster, All, 40, 45)
			s.list(42)
		}, []Rule{Missing}},
		{"a change that waits for an election", func(s *script) {
			s.fault(OneServer, All, 40, 45)
			s.come("a", 41, 41.1)
			s.list(50)
			s.list(60, "a")
		}, nil},
		{"a list that is taken again", func(s *script) {
			s.come("a", 10, 10.1)
			s.fault(LogLost, All, 40, 40)
			s.list(42)
		}, nil},
		{"a scout killed alone", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(Dead, 0, 50, 0)
			s.list(51.1, "a")
		}, []Rule{Lives}},
		{"a scout killed with its master", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(OneMaster, All, 50, 0)
			s.fault(Dead, 0, 50, 0)
			s.list(62.9, "a")
			s.list(70, "a")
		}, []Rule{Lives}},
		{"a scout killed with its master, while others fail", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(OneMaster, All, 50, 0)
			s.fault(Dead, 0, 50, 0)
			s.fault(OneMaster, All, 55, 60)
			s.list(62.9, "a")
			s.fault(OneMaster, All, 64, 69)
			s.list(70, "a")
		}, []Rule{Lives}},
		{"a scout killed with its master, without a majority", func(s *script) {
			s.come("a", 1, 1.1)
			s.fault(OneMaster, All, 50, 0)
			s.fault(Dead, 0, 50, 0)
			s.fault(NoMajority, All, 52, 60)
			s.list(75, "a")
		}, nil},
		{"no answer long after a fault", func(s *script) {
			s.fault(OneMaster, All, 10, 12)
			s.list(20).Error = "503"
			s.list(60).Error = "503"
		}, []Rule{Unanswered}},
	})
}

// scene is a history, and what is wrong with it.
type scene struct {
	name string
	play func(s *script)
	want []Rule
}

func check(t *testing.T, b Bounds, scenes []scene) {
	t.Helper()
	for _, c := range scenes {
		t.Run(c.name, func(t *testing.T) {
			var s script
			c.play(&s)
			got := Check(b, s.events)
			if len(got) != len(c.want) {
				t.Fatalf("violations: %v; want %v", got, c.want)
			}
			for i, v := range got {
				if v.Rule != c.want[i] {
					t.Errorf("violation: %v; want %q", v, c.want[i])
				}
			}
		})
	}
}

// tag is an empty list with an ETag.
func (s *script) tag(when float64, revision, digest uint64) *List {
	l := s.list(when)
	l.Epoch, l.Revision, l.Digest = "e", revision, digest
	return l
}
