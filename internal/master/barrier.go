package master

import (
	"context"
	"fmt"
	"slices"
	"time"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
)

// Barrier asks the live scouts of the wanted origins, all at once, to rescan
// their disks, and returns the list when each has answered or ctx is done. The
// list has all that was on a scout's disk at the call, unless Barrier names the
// scout with the reason why this is not certain: the scout was hidden, left
// without deregistering, did not answer in time, or cannot list a part of its
// directory. Barrier does not wait for a
// hidden scout. A scout that deregisters meanwhile takes its files along and is
// not named; a scout that registers meanwhile is not asked.
func (r *Registry) Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	members := r.of(wanted)
	slices.SortFunc(members, func(a, b *member) int { return a.peer.Origin.Compare(b.peer.Origin) })
	asked := make([]*rescan, 0, len(members))
	for _, m := range members {
		asked = append(asked, m.rescan())
	}
	for _, s := range asked {
		s.wait(ctx)
	}
	for _, s := range asked {
		s.leftBefore = s.member.hasLeft()
	}
	list := r.listing.Current() // before the reasons: it has the files of a scout that is hidden from here on
	var unconfirmed []roster.Unconfirmed
	for _, s := range asked {
		if reason := s.unconfirmed(); reason != "" {
			unconfirmed = append(unconfirmed, roster.Unconfirmed{Origin: s.member.peer.Origin, Reason: reason})
		}
	}
	return list, unconfirmed
}

// rescan is a rescan that was asked of one member.
type rescan struct {
	member   *member
	answered <-chan struct{} // nil when it was not asked
	withheld <-chan struct{} // closed once the member was hidden, or has left

	// As of before the list was taken.
	confirmed  bool // it had answered
	leftBefore bool // it had left, and taken its files along
}

func (m *member) rescan() *rescan {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &rescan{member: m, withheld: m.withheld}
	if m.phase == waiting || m.phase == shown {
		s.answered = m.peer.Rescan()
	}
	return s
}

// wait waits until the member has answered, or was hidden, or has left.
func (s *rescan) wait(ctx context.Context) {
	select {
	case <-s.answered:
	case <-s.withheld:
	case <-ctx.Done():
	}
	s.confirmed = isClosed(s.answered) // whatever the select chose
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (m *member) hasLeft() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.phase == left
}

// unconfirmed returns the reason why the list, which was taken before, may lack
// files of the member, or "".
func (s *rescan) unconfirmed() string {
	m := s.member
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.phase == left && m.leaveReason == stream.LeftDeregistered && (s.leftBefore || s.confirmed):
		return ""
	case m.phase == left:
		return "it has left: " + string(m.leaveReason)
	case m.phase != shown:
		return m.reason()
	case isClosed(s.withheld):
		return "its files were hidden for a moment"
	case s.confirmed:
		return m.condition.Incomplete
	}
	return fmt.Sprintf("no answer in time; it was last heard %s ago", m.peer.Silence().Round(time.Millisecond))
}
