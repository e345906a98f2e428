package master

import (
	"scout/internal/files"
	"scout/internal/roster"
	"scout/internal/stream"
)

// Census counts the registered scouts by state. It may be called by anyone at
// any time.
func (r *Registry) Census() map[roster.State]int {
	census := make(map[roster.State]int, len(roster.States))
	for _, m := range r.of(everybody) {
		m.mu.Lock()
		census[m.state()]++
		m.mu.Unlock()
	}
	return census
}

func everybody(files.Origin) bool { return true }

// of returns the members whose origins are wanted. Theirs is the outer lock, so
// none of them is held.
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

// state is how the member is doing. Whoever calls holds mu.
func (m *member) state() roster.State {
	switch {
	case m.shown != nil && m.degraded != (degradation{}):
		return roster.Degraded
	case m.shown != nil:
		return roster.Live
	case m.hidden == "" || m.hidden == stream.Scanning || m.hidden == stream.Resyncing || m.scanned > 0:
		return roster.Scanning
	default:
		return roster.Unavailable
	}
}
