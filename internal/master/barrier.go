package master

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"scout/internal/files"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/stream"
)

// Barrier asks the live scouts of the wanted origins, all at once and at whatever
// scoutmaster they are, to rescan their disks, and returns the list when each has
// answered or ctx is done. The list has all that was on a scout's disk at the call,
// unless Barrier names the scout with the reason why this is not certain: the scout
// was hidden, left without deregistering, did not answer in time, cannot list a
// part of its directory, or its scoutmaster did not answer. Barrier does not wait
// for a hidden scout. A scout that deregisters meanwhile takes its files along and
// is not named; a scout that registers meanwhile is not asked. If Barrier does not
// learn in time which scouts are registered elsewhere, it names this scoutmaster.
func (r *Registry) Barrier(ctx context.Context, wanted func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	var unconfirmed []roster.Unconfirmed
	if !r.readLog(ctx) {
		unconfirmed = append(unconfirmed, roster.Unconfirmed{Scoutmaster: r.fleet.Name, Reason: "it did not read its log to the end in time"})
	}
	rescans := r.state.beginRescans(wanted)
	elsewhere := make(map[Instance][]*rescan)
	for _, q := range rescans {
		q.member = r.member(q.session.id)
		switch {
		case !q.ask:
		case q.member != nil:
			q.answered = q.member.peer.Rescan()
		default:
			elsewhere[q.session.id.Instance] = append(elsewhere[q.session.id.Instance], q)
		}
	}
	unconfirmed = append(unconfirmed, r.rescanElsewhere(ctx, elsewhere)...)
	for _, q := range rescans {
		q.wait(ctx)
	}
	list := r.state.judge(rescans)
	for _, q := range rescans {
		if reason := q.reason(); reason != "" {
			unconfirmed = append(unconfirmed, roster.Unconfirmed{Origin: q.session.scout.Origin, Reason: reason})
		}
	}
	return list, unconfirmed
}

// rescanElsewhere has the scouts of other scoutmasters rescan. It returns the
// scoutmasters that did not answer, by name.
func (r *Registry) rescanElsewhere(ctx context.Context, elsewhere map[Instance][]*rescan) (silent []roster.Unconfirmed) {
	var others sync.WaitGroup
	answers := make(chan string, len(elsewhere))
	for instance, some := range elsewhere {
		others.Go(func() { answers <- r.rescanAt(ctx, instance, some) })
	}
	others.Wait()
	close(answers)
	for name := range answers {
		if name != "" {
			silent = append(silent, roster.Unconfirmed{Scoutmaster: name, Reason: "it did not answer"})
		}
	}
	slices.SortFunc(silent, func(a, b roster.Unconfirmed) int { return cmp.Compare(a.Scoutmaster, b.Scoutmaster) })
	return silent
}

// readLog waits until the State has followed the log as far as it is now, so that it
// has each scout that was registered anywhere before the call. It reports whether
// that was so before ctx was done. The entry that it appends is of no session, and
// so never counts.
func (r *Registry) readLog(ctx context.Context) bool {
	if r.fleet == nil {
		return true
	}
	r.mu.Lock()
	l := r.life
	l.sessions++
	marker := Entry{Epoch: l.epoch, Session: SessionID{l.instance, l.sessions}, Serial: 1, Body: new(Status)}
	r.mu.Unlock()
	return errors.Is(r.append(ctx, &marker), errNotCounted)
}

// rescanAt has another scoutmaster's scouts rescan, and waits until what they have
// found is here. It returns the name of the scoutmaster if that did not answer.
func (r *Registry) rescanAt(ctx context.Context, i Instance, some []*rescan) (silent string) {
	m := r.state.tickOf(i)
	sessions := make([]uint64, len(some))
	for n, q := range some {
		sessions[n] = q.session.id.Number
		q.elsewhere = fmt.Sprintf("its scoutmaster %q did not answer", m.Name)
	}
	done, err := r.reach.Rescan(ctx, m.Address, i, sessions)
	if err != nil {
		return m.Name
	}
	here := r.state.await(ctx, done.Epoch, done.Position)
	for _, q := range some {
		if q.elsewhere = done.Unconfirmed[q.session.id.Number]; q.elsewhere == "" && !here {
			q.elsewhere = "what it found has not come through the log in time"
		}
	}
	return ""
}

// Rescan has the scouts of some sessions of this scoutmaster rescan their disks,
// for another scoutmaster's barrier. It returns when each has answered, or ctx is
// done.
func (r *Registry) Rescan(ctx context.Context, i Instance, sessions []uint64) Rescanned {
	done := Rescanned{Unconfirmed: make(map[uint64]string)}
	var rescans []*rescan
	for _, number := range sessions {
		id := SessionID{i, number}
		x, m := r.state.find(id), r.member(id)
		if x == nil || m == nil {
			done.Unconfirmed[number] = "it is not connected to its scoutmaster any more"
			continue
		}
		rescans = append(rescans, &rescan{session: x, member: m, withheld: r.state.withheldOf(x), answered: m.peer.Rescan()})
	}
	for _, q := range rescans {
		if q.wait(ctx); !isClosed(q.answered) {
			q.verdict = unanswered
			done.Unconfirmed[q.session.id.Number] = q.reason()
		}
	}
	done.Epoch, done.Position = r.state.where()
	return done
}

// rescan is a rescan that a barrier asks of one session.
type rescan struct {
	session   *session
	ask       bool            // it is not hidden
	withheld  <-chan struct{} // closed once the session was hidden, or has left
	member    *member         // nil: at another scoutmaster
	answered  <-chan struct{} // nil: was not asked here
	elsewhere string          // why it is not confirmed by another scoutmaster, or ""

	verdict    rescanVerdict
	incomplete string // why the list may lack files of the session
}

// rescanVerdict is what a list that was taken after a rescan has of the session.
type rescanVerdict int

const (
	confirmed  rescanVerdict = iota // all that was on the disk
	unanswered                      // what was known before
	incomplete                      // see rescan.incomplete
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
		answered[i] = isClosed(q.answered) || q.member == nil && q.ask && q.elsewhere == ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range rescans {
		x := q.session
		q.verdict = incomplete
		switch {
		case x.phase == left && x.leaveReason == stream.LeftDeregistered:
			q.verdict = confirmed // nothing is listed of it
		case x.phase == left:
			q.incomplete = "it has left: " + string(x.leaveReason)
		case x.source == nil:
			q.incomplete = x.reason()
		case isClosed(q.withheld):
			q.incomplete = "its files were hidden for a moment"
		case answered[i] && x.condition.Incomplete != "":
			q.incomplete = x.condition.Incomplete
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
	case q.verdict == incomplete:
		return q.incomplete
	case q.member == nil:
		return q.elsewhere
	}
	return fmt.Sprintf("no answer in time; it was last heard %s ago", q.member.peer.Silence().Round(time.Millisecond))
}

// find returns a session, or nil.
func (s *State) find(id SessionID) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.masters[id.Instance]; m != nil {
		return m.sessions[id.Number]
	}
	return nil
}

func (s *State) withheldOf(x *session) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return x.withheld
}

// where returns how far the State has followed which epoch.
func (s *State) where() (epoch, position uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch, s.position
}

// await waits until the State has followed an epoch up to a position. It is false
// if the State is in another epoch, or ctx was done first.
func (s *State) await(ctx context.Context, epoch, position uint64) bool {
	for {
		advanced := s.advanced.Wait() // before the comparison, to miss no entry
		e, p := s.where()
		if e != epoch || p >= position {
			return e == epoch
		}
		select {
		case <-advanced:
		case <-ctx.Done():
			return false
		}
	}
}

// tickOf returns the last Tick of a scoutmaster.
func (s *State) tickOf(i Instance) Tick {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.masters[i]; m != nil {
		return m.tick
	}
	return Tick{}
}
