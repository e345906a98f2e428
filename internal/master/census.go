package master

import "scout/internal/stream"

// State is how a registered scout is doing.
type State string

// A scout is in one of these.
const (
	// StateLive: its files are listed, all of them.
	StateLive State = "live"
	// StateDegraded: its files are listed, but it has directories that it cannot
	// read, or polls for want of watches.
	StateDegraded State = "degraded"
	// StateScanning: it is hidden until it has found out which files exist, and
	// the master has them.
	StateScanning State = "scanning"
	// StateUnavailable: it is hidden, because it cannot say which files exist.
	StateUnavailable State = "unavailable"
)

// States are all that there are.
var States = [...]State{StateLive, StateDegraded, StateScanning, StateUnavailable}

// Census counts the registered scouts by state. It may be called by anyone at
// any time.
func (r *Registry) Census() map[State]int {
	census := make(map[State]int, len(States))
	for _, m := range r.all() {
		census[m.state()]++
	}
	return census
}

// all returns the members. Theirs is the outer lock, so none of them is held.
func (r *Registry) all() []*member {
	r.mu.Lock()
	defer r.mu.Unlock()
	members := make([]*member, 0, len(r.members))
	for _, m := range r.members {
		members = append(members, m)
	}
	return members
}

func (m *member) state() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.shown != nil && m.degraded != (degradation{}):
		return StateDegraded
	case m.shown != nil:
		return StateLive
	case m.hidden == "" || m.hidden == stream.Scanning || m.hidden == stream.Resyncing || m.scanned > 0:
		return StateScanning
	default:
		return StateUnavailable
	}
}
