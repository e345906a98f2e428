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
// without deregistering, did not answer in time, cannot list a part of its
// directory, or is connected to another scoutmaster. Barrier does not wait for a
// hidden scout. A scout that deregisters meanwhile takes its files along and is
// not named; a scout that registers meanwhile is not asked.
func (r *Registry) Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	rescans := r.state.beginRescans(wanted)
	for _, q := range rescans {
		if q.member = r.member(q.session.id); q.member != nil && q.ask {
			q.answered = q.member.peer.Rescan()
		}
	}
	for _, q := range rescans {
		q.wait(ctx)
	}
	list := r.state.judge(rescans)
	var unconfirmed []roster.Unconfirmed
	for _, q := range rescans {
		if reason := q.reason(); reason != "" {
			unconfirmed = append(unconfirmed, roster.Unconfirmed{Origin: q.session.scout.Origin, Reason: reason})
		}
	}
	return list, unconfirmed
}

// rescan is a rescan that a barrier asks of one session.
type rescan struct {
	session  *session
	ask      bool            // it is not hidden
	withheld <-chan struct{} // closed once the session was hidden, or has left
	member   *member         // nil: at another scoutmaster
	answered <-chan struct{} // nil: was not asked

	verdict rescanVerdict
	doubt   string // why its files may be lacking
}

// rescanVerdict is what a list that was taken after a rescan has of the session.
type rescanVerdict int

const (
	confirmed  rescanVerdict = iota // all that was on the disk
	unanswered                      // what was known before
	doubtful                        // see doubt
)

// beginRescans returns a rescan of each session of the wanted origins, in the
// order of the origins.
func (s *State) beginRescans(wanted func(files.Origin) bool) []*rescan {
	sessions := s.sessions(wanted)
	slices.SortFunc(sessions, func(a, b *session) int { return a.scout.Origin.Compare(b.scout.Origin) })
	rescans := make([]*rescan, len(sessions))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, x := range sessions {
		rescans[i] = &rescan{session: x, ask: x.phase == waiting || x.phase == shown, withheld: x.withheld}
	}
	return rescans
}

// wait waits until the scout has answered, or was hidden, or has left.
func (q *rescan) wait(ctx context.Context) {
	if q.answered == nil {
		return
	}
	select {
	case <-q.answered:
	case <-q.withheld:
	case <-ctx.Done():
	}
}

// judge takes the list, and finds what it has of each session.
func (s *State) judge(rescans []*rescan) *listing.Version {
	answered := make([]bool, len(rescans)) // before the list is taken
	for i, q := range rescans {
		answered[i] = isClosed(q.answered)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range rescans {
		x := q.session
		q.verdict = doubtful
		switch {
		case x.phase == left && x.leaveReason == stream.LeftDeregistered:
			q.verdict = confirmed // nothing is listed of it
		case x.phase == left:
			q.doubt = "it has left: " + string(x.leaveReason)
		case x.source == nil:
			q.doubt = x.reason()
		case isClosed(q.withheld):
			q.doubt = "its files were hidden for a moment"
		case answered[i] && x.condition.Incomplete != "":
			q.doubt = x.condition.Incomplete
		case answered[i]:
			q.verdict = confirmed
		default:
			q.verdict = unanswered
		}
	}
	return s.list.Current()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// reason is why the list may lack files of the scout, or "".
func (q *rescan) reason() string {
	switch {
	case q.verdict == confirmed:
		return ""
	case q.verdict == doubtful:
		return q.doubt
	case q.member == nil:
		return "it is connected to another scoutmaster, which was not asked"
	}
	return fmt.Sprintf("no answer in time; it was last heard %s ago", q.member.peer.Silence().Round(time.Millisecond))
}
