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

// Roster says who is registered, who has left and who was refused. It costs
// about a microsecond a scout and holds up nobody.
func (r *Registry) Roster() roster.Roster {
	members := r.of(everybody)
	r.mu.Lock()
	left := r.left.all(func(e *roster.Left, times int) { e.Times = times })
	refused := r.refused.all(func(e *roster.Refused, times int) { e.Times = times })
	r.mu.Unlock()

	scouts := make([]roster.Scout, 0, len(members))
	now := time.Now()
	for _, m := range members {
		if s, ok := m.describe(now); ok {
			scouts = append(scouts, s)
		}
	}
	slices.SortFunc(scouts, func(a, b roster.Scout) int { return a.Origin.Compare(b.Origin) })
	return roster.Roster{Scouts: scouts, Left: left, Refused: refused}
}

// noteRefused remembers a newcomer that was refused.
func (r *Registry) noteRefused(p stream.Peer, holder string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused.note(refusal{p.Origin, machine(p.Address)}, roster.Refused{
		Origin: p.Origin, Holder: holder, When: time.Now(), Address: p.Address,
	})
}

// refusal is whose refusals are told as one.
type refusal struct {
	origin  files.Origin
	machine string
}

// machine is an address without the port, which is another each time.
func machine(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// describe returns what is to be said of a member, unless it has left.
func (m *member) describe(now time.Time) (roster.Scout, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return roster.Scout{
		Origin: m.peer.Origin, State: m.state(), Reason: m.reason(), Scanned: m.scanned,
		Files: m.files, Revision: m.revision,
		Unreadable: m.degraded.unreadable, Polled: m.degraded.polled,
		Registered: m.registered, Heard: now.Add(-m.peer.Silence()),
		Version: m.peer.Version, Session: m.peer.Session, Address: m.peer.Address,
	}, !m.gone
}

// reason is why the member is hidden, or "". Whoever calls holds mu.
func (m *member) reason() string {
	switch {
	case m.shown != nil:
		return ""
	case m.hidden == "":
		return "its first snapshot has not come yet"
	case m.scanned > 0:
		return fmt.Sprintf("%s, %d files so far", m.hidden, m.scanned)
	}
	return m.hidden
}
