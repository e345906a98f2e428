package master

import (
	"fmt"
	"net"
	"slices"
	"time"

	"scout/internal/files"
	"scout/internal/roster"
	"scout/internal/stream"
)

// Roster returns the registered scouts, those that have left and those that were
// refused. It costs about a microsecond a scout and blocks nobody.
func (r *Registry) Roster() roster.Roster {
	members := r.of(everybody)
	r.mu.Lock()
	left := r.left.all(func(e *roster.Left, times int) { e.Times = times })
	refused := r.refused.all(func(e *roster.Refused, times int) { e.Times = times })
	gone := r.gone.count()
	r.mu.Unlock()

	scouts := make([]roster.Scout, 0, len(members))
	now := time.Now()
	for _, m := range members {
		if s, ok := m.describe(now); ok {
			scouts = append(scouts, s)
		}
	}
	slices.SortFunc(scouts, func(a, b roster.Scout) int { return a.Origin.Compare(b.Origin) })
	return roster.Roster{Scouts: scouts, Left: left, Refused: refused, Gone: gone}
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

// describe returns the member for people, and false if it has left.
func (m *member) describe(now time.Time) (roster.Scout, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return roster.Scout{
		Origin: m.peer.Origin, State: m.state(), Reason: m.reason(), Scanned: m.scanned,
		Files: m.files, Revision: m.revision,
		Unreadable: m.condition.Unreadable, Polled: m.condition.Polled, PollRound: m.condition.PollRound,
		Registered: m.registered, Heard: now.Add(-m.peer.Silence()),
		Version: m.peer.Version, Session: m.peer.Session, Address: m.peer.Address,
	}, m.phase != left
}

// reason is why the member is hidden or, if it is shown, why files may be
// missing, or "". The caller holds mu.
func (m *member) reason() string {
	switch {
	case m.phase == shown:
		return m.condition.Incomplete
	case m.phase == waiting:
		return "its first snapshot has not come yet"
	case m.scanned > 0:
		return fmt.Sprintf("%s, %d files so far", m.hiddenFor, m.scanned)
	}
	return m.hiddenFor
}

// StateCounts counts the registered scouts by state, and those that are gone.
// Any goroutine may call it.
func (r *Registry) StateCounts() map[roster.State]int {
	counts := make(map[roster.State]int, len(roster.States))
	for _, m := range r.of(everybody) {
		m.mu.Lock()
		counts[m.state()]++
		m.mu.Unlock()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	counts[roster.Gone] = r.gone.count()
	return counts
}

func everybody(files.Origin) bool { return true }

// of returns the members of the wanted origins. The caller must not hold a
// member's lock.
func (r *Registry) of(wanted func(files.Origin) bool) []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]*member, 0, len(r.members))
	for origin, m := range r.members {
		if wanted(origin) {
			members = append(members, m)
		}
	}
	return members
}

// state is the member's state for people. The caller holds mu.
func (m *member) state() roster.State {
	switch {
	case m.phase == shown && isDegraded(m.condition):
		return roster.Degraded
	case m.phase == shown:
		return roster.Live
	case m.phase == waiting || m.hiddenFor == stream.Scanning || m.hiddenFor == stream.Resyncing || m.scanned > 0:
		return roster.Scanning
	default:
		return roster.Unavailable
	}
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
