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

// Look asks the live scouts of some origins to look at their disks, all at
// once, and returns the list when each has answered or ctx is done. The list has
// all that was on a scout's disk at the call, unless that scout is named with
// the reason why this is not certain: it was hidden, or left without saying so,
// or did not answer in time. One that is hidden is not waited for. One that
// deregisters meanwhile takes its files along and is not named, and one that
// comes meanwhile was not asked.
func (r *Registry) Look(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	members := r.of(wanted)
	asked := make([]*look, 0, len(members))
	for _, m := range members {
		asked = append(asked, m.look())
	}
	for _, l := range asked {
		l.wait(ctx)
	}
	for _, l := range asked {
		l.took = l.member.hasLeft()
	}
	list := r.listing.Current() // before the doubts: what is hidden from here on is in it
	var unconfirmed []roster.Unconfirmed
	for _, l := range asked {
		if reason := l.doubt(); reason != "" {
			unconfirmed = append(unconfirmed, roster.Unconfirmed{Origin: l.member.peer.Origin, Reason: reason})
		}
	}
	slices.SortFunc(unconfirmed, func(a, b roster.Unconfirmed) int { return a.Origin.Compare(b.Origin) })
	return list, unconfirmed
}

// look is one member that was asked to look at its disk.
type look struct {
	member   *member
	answered <-chan struct{}
	out      <-chan struct{} // closed once the member was hidden, or has left

	// What was so before the list was taken.
	confirmed bool // it had answered
	took      bool // it had left, and taken its files along
}

func (m *member) look() *look {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := &look{member: m, out: m.out}
	if m.hidden == "" && !m.gone {
		l.answered = m.peer.Rescan()
	}
	return l
}

// wait waits until the member has answered, or there is nothing to wait for any
// more.
func (l *look) wait(ctx context.Context) {
	select {
	case <-l.answered:
	case <-l.out:
	case <-ctx.Done():
	}
	l.confirmed = isClosed(l.answered) // it may be so at the last moment
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
	return m.gone
}

// doubt is why the list, which was taken, may lack something of the member's, or
// "".
func (l *look) doubt() string {
	m := l.member
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.gone && m.left == stream.LeftDeregistered && (l.took || l.confirmed):
		return ""
	case m.gone:
		return "it has left: " + string(m.left)
	case m.shown == nil:
		return m.reason()
	case isClosed(l.out):
		return "its files were hidden for a moment"
	case l.confirmed:
		return ""
	}
	return fmt.Sprintf("no answer in time; it was last heard %s ago", m.peer.Silence().Round(time.Millisecond))
}
