package master

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"scout/internal/files"
	"scout/internal/roster"
	"scout/internal/stream"
)

// describeAtOnce is how many sessions are described while changes wait.
const describeAtOnce = 256

// Roster returns the registered scouts, those that have left and those that were
// refused. It costs about a microsecond a scout and delays changes by no more
// than some of them.
func (r *Registry) Roster() roster.Roster {
	sessions := r.state.sessions(everybody)
	r.mu.Lock()
	left := r.left.all(func(e *roster.Left, times int) { e.Times = times })
	refused := r.refused.all(func(e *roster.Refused, times int) { e.Times = times })
	gone := r.gone.count()
	r.mu.Unlock()
	masters := r.scoutmasters()

	scouts := make([]roster.Scout, 0, len(sessions))
	for some := range slices.Chunk(sessions, describeAtOnce) {
		described := r.state.describe(&scouts, some)
		r.hear(scouts[len(scouts)-len(described):], described)
	}
	slices.SortFunc(scouts, func(a, b roster.Scout) int { return a.Origin.Compare(b.Origin) })
	return roster.Roster{Scouts: scouts, Left: left, Refused: refused, Scoutmasters: masters, Gone: gone}
}

// noteRefused keeps the refusal of a newcomer.
func (r *Registry) noteRefused(p stream.Peer, holder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused.note(refusal{p.Origin, machine(p.Address)}, roster.Refused{
		Origin: p.Origin, Holder: holder, When: time.Now(), Address: p.Address,
	})
}

// refusal is the key of refusals that are reported as one.
type refusal struct {
	origin  files.Origin
	machine string
}

// machine is an address without the port, which differs each time.
func machine(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// sessions returns the sessions of the wanted origins.
func (s *State) sessions(wanted func(files.Origin) bool) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions := make([]*session, 0, len(s.holders))
	for origin, x := range s.holders {
		if wanted(origin) {
			sessions = append(sessions, x)
		}
	}
	return sessions
}

func everybody(files.Origin) bool { return true }

// describe appends what people are told of sessions, and returns the sessions
// that have not left.
func (s *State) describe(scouts *[]roster.Scout, sessions []*session) []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	sessions = slices.DeleteFunc(sessions, func(x *session) bool { return x.phase == left })
	for _, x := range sessions {
		*scouts = append(*scouts, roster.Scout{
			Origin: x.scout.Origin, State: x.state(), Reason: x.reason(), Scanned: x.scanned,
			Files: int(x.names.Count), Revision: x.revision,
			Unreadable: x.condition.Unreadable, Polled: x.condition.Polled, PollRound: x.condition.PollRound,
			Registered: x.scout.Registered, Version: x.scout.Version, Session: x.scout.Session, Address: x.scout.Address,
			Scoutmaster: s.masters[x.id.Instance].tick.Name,
		})
	}
	return sessions
}

// hear fills in when the scouts of sessions of this scoutmaster were heard last.
func (r *Registry) hear(scouts []roster.Scout, sessions []*session) {
	members := r.members(sessions)
	now := time.Now()
	for i, m := range members {
		if m != nil {
			scouts[i].Heard = now.Add(-m.peer.Silence())
		}
	}
}

// members returns the member of each session, nil for one at another scoutmaster.
func (r *Registry) members(sessions []*session) []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]*member, len(sessions))
	for i, x := range sessions {
		if x.id.Instance == r.life.instance {
			members[i] = r.life.members[x.id.Number]
		}
	}
	return members
}

// state is the session's state for people.
func (x *session) state() roster.State {
	switch {
	case x.source != nil && isDegraded(x.condition):
		return roster.Degraded
	case x.source != nil:
		return roster.Live
	case x.phase == waiting || x.hiddenFor == stream.Scanning || x.hiddenFor == stream.Resyncing || x.scanned > 0:
		return roster.Scanning
	default:
		return roster.Unavailable
	}
}

// reason is why nothing is listed of the session or, if something is, why files
// may be missing, or "".
func (x *session) reason() string {
	switch {
	case x.source != nil:
		return x.condition.Incomplete
	case x.phase == waiting:
		return "its first snapshot has not come yet"
	case x.scanned > 0:
		return fmt.Sprintf("%s, %d files so far", x.hiddenFor, x.scanned)
	}
	return x.hiddenFor
}

// Counts returns totals for monitoring. It costs some nanoseconds a scout. Any
// goroutine may call it.
func (r *Registry) Counts() roster.Counts {
	_, self := r.self()
	var c roster.Counts
	c.Own, c.Fleet = r.state.tally(self.Instance)
	if r.fleet != nil {
		c.CutOff, c.Lag, c.Foreign = errors.Is(r.Ready(), ErrCutOff), r.fleet.lag(), r.ForeignMessages()
		c.Scoutmasters = make(map[roster.ScoutmasterState]int, len(roster.ScoutmasterStates))
		for _, m := range r.scoutmasters() {
			c.Scoutmasters[m.State]++
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c.Own.Scouts[roster.Gone], c.Fleet.Scouts[roster.Gone] = r.ownGone.count(), r.gone.count()
	return c
}

// tally counts the scouts of one scoutmaster, and all.
func (s *State) tally(i Instance) (own, all roster.Tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own.Scouts, all.Scouts = make(map[roster.State]int), make(map[roster.State]int)
	for _, x := range s.holders {
		state, files := x.state(), int(x.names.Count)
		all.Scouts[state]++
		all.Files += files
		if x.id.Instance == i {
			own.Scouts[state]++
			own.Files += files
		}
	}
	return own, all
}

// scoutmasters returns the scoutmasters that share the list, by name. It is nil if
// this one is alone.
func (r *Registry) scoutmasters() []roster.Scoutmaster {
	if r.fleet == nil {
		return nil
	}
	own := roster.Scoutmaster{
		Name: r.fleet.Name, URL: r.fleet.URL, Version: r.fleet.Version, State: roster.ScoutmasterLive,
		Revision: r.state.list.Current().Revision,
	}
	if err := r.Ready(); err != nil && !errors.Is(err, ErrBehind) {
		own.State = roster.ScoutmasterCutOff
	}
	all := r.state.describeMasters(&own, r.fleet.Address)
	r.mu.Lock()
	defer r.mu.Unlock()
	return withoutReplaced(append(all, r.lost.all()...))
}

// describeMasters returns what people are told of the scoutmasters, as far as the
// log says. This one, which has an address, knows more of itself than the log, but
// for its scouts.
func (s *State) describeMasters(own *roster.Scoutmaster, address string) []roster.Scoutmaster {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]roster.Scoutmaster, 0, len(s.masters)+1)
	for _, m := range s.masters {
		if m.tick.Address == address { // also one that it was before
			own.Scouts += len(m.sessions)
			continue
		}
		all = append(all, m.describe())
	}
	return append(all, *own)
}

// describe returns what people are told of another scoutmaster.
func (m *scoutmaster) describe() roster.Scoutmaster {
	d := roster.Scoutmaster{
		Name: m.tick.Name, URL: m.tick.URL, Version: m.tick.Version, State: roster.ScoutmasterLive,
		Scouts: len(m.sessions), Revision: m.tick.Revision,
	}
	switch {
	case m.phase == masterLive && m.suspected == 0:
	case m.phase == masterLive, m.phase == masterLost:
		d.State = roster.ScoutmasterCutOff
	default:
		d.State = roster.ScoutmasterGone
	}
	return d
}

// withoutReplaced sorts scoutmasters by name, and leaves out those that another one
// of the same name has replaced. It has their scouts too.
func withoutReplaced(all []roster.Scoutmaster) []roster.Scoutmaster {
	order := func(m roster.Scoutmaster) int { return slices.Index(roster.ScoutmasterStates[:], m.State) }
	slices.SortStableFunc(all, func(a, b roster.Scoutmaster) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(order(a), order(b)), cmp.Compare(a.URL, b.URL))
	})
	left := all[:0]
	for _, m := range all {
		if n := len(left); n > 0 && left[n-1].Name == m.Name && m.State != roster.ScoutmasterLive {
			left[n-1].Scouts += m.Scouts
			continue
		}
		left = append(left, m)
	}
	return left
}

// lostMost is how many lost scoutmasters are remembered, for goneMemory.
const lostMost = 64

// lostMasters are the scoutmasters that were lost and are not back, the latest last.
type lostMasters []lostMaster

type lostMaster struct {
	roster.Scoutmaster

	when time.Time
}

// note notes that a scoutmaster has come, or that its phase has changed.
func (l *lostMasters) note(m *scoutmaster) {
	if m.phase != masterLive && m.phase != masterLost {
		return
	}
	*l = slices.DeleteFunc(*l, func(x lostMaster) bool { return x.Name == m.tick.Name })
	if m.phase == masterLive {
		return
	}
	lost := lostMaster{m.describe(), time.Now()}
	lost.State, lost.Scouts = roster.ScoutmasterGone, 0
	*l = append(*l, lost)
	*l = (*l)[max(0, len(*l)-lostMost):]
}

// all returns the scoutmasters.
func (l *lostMasters) all() (all []roster.Scoutmaster) {
	*l = slices.DeleteFunc(*l, func(x lostMaster) bool { return time.Since(x.when) >= goneMemory })
	for _, x := range *l {
		all = append(all, x.Scoutmaster)
	}
	return all
}

// recentMost is how many events of a kind are kept.
const recentMost = 128

// recent keeps the last events of a kind, bounded. An event that repeats does not
// displace the others: events with the same key are one.
type recent[K comparable, E any] struct{ events []recentEvent[K, E] } // oldest first

type recentEvent[K comparable, E any] struct {
	key   K
	event E
	times int
}

func (l *recent[K, E]) note(key K, event E) {
	times := 1
	same := func(e recentEvent[K, E]) bool { return e.key == key }
	if i := slices.IndexFunc(l.events, same); i >= 0 {
		times += l.events[i].times
		l.events = slices.Delete(l.events, i, i+1)
	} else if len(l.events) == recentMost {
		l.events = slices.Delete(l.events, 0, 1)
	}
	l.events = append(l.events, recentEvent[K, E]{key, event, times})
}

// all returns what finish makes of each event, newest first.
func (l *recent[K, E]) all(finish func(event *E, times int)) []E {
	all := make([]E, 0, len(l.events))
	for _, e := range slices.Backward(l.events) {
		finish(&e.event, e.times)
		all = append(all, e.event)
	}
	return all
}

// How many origins are remembered whose scouts are gone, and for how long.
const (
	goneMost   = 1 << 16
	goneMemory = 24 * time.Hour
)

// gone are the origins whose scouts left without deregistering and have not come
// back. The zero gone is empty.
type gone struct {
	since map[files.Origin]time.Time
	order []departure // oldest first; it counts if since has it
}

type departure struct {
	origin files.Origin
	when   time.Time
}

// add remembers an origin, and forgets the oldest where there are too many.
func (g *gone) add(origin files.Origin) {
	if g.since == nil {
		g.since = make(map[files.Origin]time.Time)
	}
	now := time.Now()
	g.since[origin] = now
	g.order = append(g.order, departure{origin, now})
	g.trim()
}

// remove forgets an origin, whose scout is back or has deregistered.
func (g *gone) remove(origin files.Origin) {
	delete(g.since, origin)
	g.trim()
}

// count returns how many origins there are.
func (g *gone) count() int {
	g.trim()
	return len(g.since)
}

// trim removes the departures that are too old, too many or do not count.
func (g *gone) trim() {
	n := 0
	for _, d := range g.order {
		counts := g.since[d.origin].Equal(d.when)
		if counts && len(g.since) <= goneMost && time.Since(d.when) < goneMemory {
			break
		}
		if counts {
			delete(g.since, d.origin)
		}
		n++
	}
	g.order = g.order[n:]
	if len(g.order) > 2*len(g.since)+1024 {
		g.compact()
	}
}

// compact removes the departures that do not count.
func (g *gone) compact() {
	kept := make([]departure, 0, len(g.since))
	for _, d := range g.order {
		if g.since[d.origin].Equal(d.when) {
			kept = append(kept, d)
		}
	}
	g.order = kept
}
