package stream

import (
	"fmt"
	"time"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// replica is the master's copy of what one scout shows, as far as the protocol
// is concerned: it enforces the rules, keeps what a Beat can be held against,
// and shows through the member only what is whole and proven. The names
// themselves are the member's. One goroutine uses it.
type replica struct {
	member   Member
	quota    *quota
	recorder Recorder

	state    state     // of the copy; zero when there is none
	load     load      // of the copy
	taken    load      // of the quota, for the copy and what is incoming
	incoming *incoming // an update of which parts are missing
	grants   int       // sent, and not used by a snapshot yet
	offered  bool      // the next update has to be a snapshot
	// The scout was told that the copy differs and has not answered: what comes
	// was sent before it knew.
	resyncing bool
}

// state identifies what a set of names is after a number of updates.
type state struct {
	revision, count, digest uint64
}

func (s state) String() string {
	return fmt.Sprintf("revision %d with %d files and digest %016x", s.revision, s.count, s.digest)
}

// difference is a copy that is not what the scout says it must be. It breaks
// no rule; the cure is a new snapshot.
type difference struct{ copy, scout state }

func (d *difference) Error() string {
	return fmt.Sprintf("the copy is at %v, the scout at %v", d.copy, d.scout)
}

// offer expects a snapshot of about so many names, once it has been granted.
func (r *replica) offer(count uint64) error {
	if r.incoming != nil {
		return violation("an Offer between the parts of an update")
	}
	if err := r.quota.ofOne(load{files: count}); err != nil {
		return err
	}
	r.offered, r.resyncing = true, false
	return nil
}

// allow lets one snapshot come: a Grant is on its way.
func (r *replica) allow() { r.grants++ }

// unavailable hides the scout, whatever was under way.
func (r *replica) unavailable(reason string, scanned uint64) {
	r.forget()
	r.resyncing = false
	r.member.Hide(reason, scanned)
}

// Resyncing is the reason for which the master itself hides a scout.
const Resyncing = "the copy differs, waiting for a snapshot"

// Scanning is the reason that scouts give while they read their directory.
const Scanning = "scanning"

// resync hides the scout, and waits for it to begin anew.
func (r *replica) resync() {
	r.forget()
	r.resyncing = true
	r.member.Hide(Resyncing, 0)
}

// forget is for when nothing of the scout is shown any more.
func (r *replica) forget() {
	r.state = state{}
	r.incoming = nil
	r.offered = false
	r.settle(load{})
}

// settle gives back of the quota what neither the copy nor an incoming update
// needs any more.
func (r *replica) settle(copied load) {
	r.quota.give(r.taken.minus(copied))
	r.load, r.taken = copied, copied
}

// beat holds the copy against what the scout says of its own.
func (r *replica) beat(b *scoutv1.Beat) error {
	if r.incoming != nil {
		return violation("a Beat between the parts of an update")
	}
	r.member.Report(b.GetUnreadable(), b.GetPolled())
	said := state{b.GetRevision(), b.GetCount(), b.GetDigest()}
	if !r.resyncing && said != r.state {
		return &difference{r.state, said}
	}
	return nil
}

// looked reports whether a Looked is about the copy that there is.
func (r *replica) looked() (bool, error) {
	switch {
	case r.incoming != nil:
		return false, violation("a Looked between the parts of an update")
	case r.resyncing:
		return false, nil
	case r.offered:
		return false, violation("a Looked between an Offer and its snapshot")
	case r.state.revision == 0:
		return false, violation("a Looked before a snapshot")
	}
	return true, nil
}

// update takes in one part, and shows what the update says when it is whole.
func (r *replica) update(u *scoutv1.Update) error {
	if r.resyncing {
		return nil
	}
	if err := r.expect(u); err != nil {
		return err
	}
	if err := r.append(u); err != nil {
		return err
	}
	if u.GetMore() {
		return nil
	}
	whole := r.incoming
	r.incoming = nil
	whole.learned = time.Now().Add(-age(u))
	said := state{u.GetRevision(), u.GetCount(), u.GetDigest()}
	if whole.reset {
		return r.reset(whole, said)
	}
	return r.apply(whole, said)
}

// expect makes sure that u belongs to the incoming update, or may begin one.
func (r *replica) expect(u *scoutv1.Update) error {
	if in := r.incoming; in != nil {
		if u.GetReset_() != in.reset || u.GetRevision() != in.revision {
			return violation("parts of one update differ in revision or reset")
		}
		return nil
	}
	if err := r.mayBegin(u); err != nil {
		return err
	}
	r.incoming = &incoming{reset: u.GetReset_(), revision: u.GetRevision(), began: time.Now()}
	return nil
}

func (r *replica) mayBegin(u *scoutv1.Update) error {
	switch {
	case u.GetReset_() && r.grants == 0:
		return violation("a snapshot without a Grant")
	case u.GetReset_() && u.GetRevision() == 0:
		return violation("a snapshot with revision 0")
	case u.GetReset_():
		r.grants--
		r.offered = false
	case r.state.revision == 0:
		return violation("an update before a snapshot")
	case r.offered:
		return violation("an update between an Offer and its snapshot")
	case u.GetRevision() != r.state.revision+1:
		return violation("the revision jumps from %d to %d", r.state.revision, u.GetRevision())
	}
	return nil
}

func (r *replica) reset(in *incoming, said state) error {
	set := in.added.Set()
	now := state{in.revision, uint64(set.Len()), set.Digest()}
	if now != said {
		return &difference{now, said}
	}
	r.member.Reset(set, in.arrival())
	r.recorder.Snapshot(set.Len(), in.bytes, time.Since(in.began))
	r.state = now
	r.settle(loadOf(set))
	return nil
}

func (r *replica) apply(in *incoming, said state) error {
	d := files.Delta{Removed: in.removed.Set(), Added: in.added.Set()}
	now := r.state.after(in.revision, d)
	if now != said {
		return &difference{now, said}
	}
	after := r.load.plus(loadOf(d.Added)).minus(loadOf(d.Removed))
	if err := r.quota.ofOne(after); err != nil {
		return err
	}
	if err := r.member.Apply(d, in.arrival()); err != nil {
		return violation("%v", err)
	}
	r.recorder.Change(d.Added.Len(), d.Removed.Len(), time.Since(in.learned))
	r.state = now
	r.settle(after)
	return nil
}

func loadOf(s *files.Set) load { return load{uint64(s.Len()), s.Bytes()} }

// after is what the state becomes with d. It needs no names but d's.
func (s state) after(revision uint64, d files.Delta) state {
	return state{
		revision: revision,
		count:    s.count + uint64(d.Added.Len()) - uint64(d.Removed.Len()),
		digest:   s.digest + d.Added.Digest() - d.Removed.Digest(),
	}
}

// append takes in the names of one part, as far as there is room for them.
func (r *replica) append(u *scoutv1.Update) error {
	before := r.incoming.load()
	if err := r.incoming.append(u); err != nil {
		return err
	}
	if err := r.incoming.plausible(r.load); err != nil {
		return err
	}
	now := r.incoming.load()
	if err := r.quota.ofOne(now); err != nil {
		return err
	}
	grown := now.minus(before)
	if err := r.quota.take(grown); err != nil {
		return err
	}
	r.taken = r.taken.plus(grown)
	return nil
}

// incoming is an update of which not all parts have come. It holds the names
// in the form in which a set keeps them.
type incoming struct {
	reset          bool
	revision       uint64
	began, learned time.Time
	bytes          int // of names, on the wire
	removed, added files.Builder
}

func (in *incoming) arrival() Arrival {
	return Arrival{Revision: in.revision, Began: in.began, Learned: in.learned}
}

// longestAge bounds what a scout can make of a measurement.
const longestAge = time.Hour

// age is how long the scout had known what u says.
func age(u *scoutv1.Update) time.Duration {
	return min(max(u.GetAge().AsDuration(), 0), longestAge)
}

// load is what the update adds.
func (in *incoming) load() load { return load{uint64(in.added.Len()), in.added.Bytes()} }

// plausible refuses to hold more removed names than the copy has.
func (in *incoming) plausible(copied load) error {
	if uint64(in.removed.Len()) > copied.files || in.removed.Bytes() > copied.bytes {
		return violation("more names are removed than there are")
	}
	return nil
}

func (in *incoming) append(u *scoutv1.Update) error {
	if in.reset && len(u.GetRemoved()) > 0 {
		return violation("a snapshot with removed names")
	}
	if err := in.removed.Append(u.GetRemoved()); err != nil {
		return violation("removed: %v", err)
	}
	if err := in.added.Append(u.GetAdded()); err != nil {
		return violation("added: %v", err)
	}
	in.bytes += len(u.GetRemoved()) + len(u.GetAdded())
	return nil
}
