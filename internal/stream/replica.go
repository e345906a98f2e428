package stream

import (
	"fmt"
	"math"
	"time"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// phase is what a master's session expects next. It decides alone whether a
// snapshot may come. The package's documentation has the table of what each
// message does in each phase.
type phase int

const (
	phaseHidden    phase = iota // nothing is shown or on offer
	phaseQueued                 // an Offer waits for its slot
	phaseGranted                // the Offer was granted: its snapshot is next
	phaseSnapshot               // parts of the snapshot have come
	phaseShown                  // the copy is what the scout has
	phaseChange                 // parts of a change have come
	phaseDiffering              // the copy is not what the scout has, which it is not told yet
	phaseResyncing              // it was told by a Resync
)

// replica is the master's copy of what one scout shows, as far as the protocol
// is concerned: it enforces the rules, knows what a Beat must say, and shows
// through the member only what is whole and proven. The names themselves are
// the member's. One goroutine uses it.
type replica struct {
	member   Member
	quota    *quota
	queue    *snapshotQueue
	recorder Recorder

	phase    phase
	slot     *slot       // of the Offer, until its snapshot is whole or withdrawn
	shown    fingerprint // of the copy; zero when there is none. An Offer leaves it in place.
	load     load        // of the copy
	taken    load        // of the quota, for the copy and what is incoming
	incoming *incoming   // in phaseSnapshot and phaseChange
}

// fingerprint identifies a set of names after a number of updates.
type fingerprint struct {
	revision, count, digest uint64
}

func (f fingerprint) String() string {
	return fmt.Sprintf("revision %d with %d files and digest %016x", f.revision, f.count, f.digest)
}

// after returns what the fingerprint becomes with d. It needs no names but d's.
func (f fingerprint) after(revision uint64, d files.Delta) fingerprint {
	return fingerprint{
		revision: revision,
		count:    f.count + uint64(d.Added.Len()) - uint64(d.Removed.Len()),
		digest:   f.digest + d.Added.Digest() - d.Removed.Digest(),
	}
}

// difference says that the copy is not what the scout says it must be. It breaks
// no rule; a new snapshot is the cure.
type difference struct{ copy, scout fingerprint }

func (d *difference) Error() string {
	return fmt.Sprintf("the copy is at %v, the scout at %v", d.copy, d.scout)
}

// errEarly is a snapshot that a Grant allowed which an Unavailable has taken
// back since: the two crossed, which breaks no rule.
var errEarly = fmt.Errorf("the snapshot came by the Grant of an earlier Offer")

// receiving reports whether parts of an update are missing.
func (r *replica) receiving() bool { return r.phase == phaseSnapshot || r.phase == phaseChange }

// offered reports whether a snapshot is on offer.
func (r *replica) offered() bool { return r.phase == phaseQueued || r.phase == phaseGranted }

// differs reports whether the scout has to begin anew, so that what it says of
// the copy counts for nothing.
func (r *replica) differs() bool { return r.phase == phaseDiffering || r.phase == phaseResyncing }

// offer queues for a slot. An Offer that is said again changes nothing, and one
// that comes before the scout was told to begin anew is not the one that is
// asked for.
func (r *replica) offer(o *scoutv1.Offer) error {
	if r.receiving() {
		return violation("an Offer between the parts of an update")
	}
	if err := r.quota.ofOne(load{files: o.GetCount()}); err != nil {
		return err
	}
	if r.offered() || r.phase == phaseDiffering {
		return nil
	}
	r.slot = r.queue.request(sizeOf(o))
	r.phase = phaseQueued
	return nil
}

// usualName is how many bytes a name is taken to have when an Offer does not say.
const usualName = 64

// sizeOf is about how many bytes the offered snapshot takes.
func sizeOf(o *scoutv1.Offer) int64 {
	if o.GetBytes() > 0 {
		return int64(min(o.GetBytes(), math.MaxInt64))
	}
	return int64(min(o.GetCount(), math.MaxInt64/usualName) * usualName)
}

// slotReady returns a channel that is closed when the Offer may be granted; nil
// when no Offer waits.
func (r *replica) slotReady() <-chan struct{} {
	if r.phase != phaseQueued {
		return nil
	}
	return r.slot.ready()
}

// grant allows the snapshot that was offered.
func (r *replica) grant() { r.phase = phaseGranted }

// unavailable hides the scout, whatever was under way. A Resync that is due
// stays due, or else a scout could avoid that Resyncs are spaced.
func (r *replica) unavailable(reason string, scanned uint64) {
	r.drop()
	if r.phase != phaseDiffering {
		r.phase = phaseHidden
	}
	r.member.Hide(reason, scanned)
}

// Resyncing is the reason for which the master itself hides a scout.
const Resyncing = "the copy differs, waiting for a snapshot"

// Scanning is the reason that scouts give while they read their directory.
const Scanning = "scanning"

// differ hides the scout, which has to be told to begin anew.
func (r *replica) differ() {
	r.drop()
	r.phase = phaseDiffering
	r.member.Hide(Resyncing, 0)
}

// resync notes that the scout is told to begin anew.
func (r *replica) resync() { r.phase = phaseResyncing }

// drop forgets the copy, what is incoming and what is on offer.
func (r *replica) drop() {
	r.shown = fingerprint{}
	r.incoming = nil
	r.settle(load{})
	r.withdraw()
}

// withdraw gives back the slot, or the place in the queue for one.
func (r *replica) withdraw() {
	r.slot.release()
	r.slot = nil
}

// settle gives back of the quota what neither the copy nor an incoming update
// needs any more.
func (r *replica) settle(copied load) {
	r.quota.give(r.taken.minus(copied))
	r.load, r.taken = copied, copied
}

// beat compares the copy with what the scout says of its own.
func (r *replica) beat(b *scoutv1.Beat) error {
	if r.receiving() {
		return violation("a Beat between the parts of an update")
	}
	r.member.Report(Condition{
		Unreadable: b.GetUnreadable(), Polled: b.GetPolled(),
		Incomplete: oneLine(b.GetIncomplete(), maxReason),
		PollRound:  milliseconds(b.GetPollMillis()),
	})
	said := fingerprint{b.GetRevision(), b.GetCount(), b.GetDigest()}
	if !r.differs() && said != r.shown {
		return &difference{r.shown, said}
	}
	return nil
}

// milliseconds returns n ms, or the longest Duration.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// looked reports whether a Looked is about the copy that there is.
func (r *replica) looked() (bool, error) {
	switch {
	case r.receiving():
		return false, violation("a Looked between the parts of an update")
	case r.differs():
		return false, nil
	case r.offered():
		return false, violation("a Looked between an Offer and its snapshot")
	case r.phase == phaseHidden:
		return false, violation("a Looked before a snapshot")
	}
	return true, nil
}

// update takes in one part, and shows what the update says when it is whole.
func (r *replica) update(u *scoutv1.Update) error {
	if r.differs() {
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
	said := fingerprint{u.GetRevision(), u.GetCount(), u.GetDigest()}
	if r.phase == phaseSnapshot {
		r.withdraw()
		return r.reset(whole, said)
	}
	return r.apply(whole, said)
}

// expect makes sure that u belongs to the incoming update, or begins one.
func (r *replica) expect(u *scoutv1.Update) error {
	if r.receiving() {
		if u.GetReset_() != (r.phase == phaseSnapshot) || u.GetRevision() != r.incoming.revision {
			return violation("parts of one update differ in revision or reset")
		}
		return nil
	}
	next, begin := phaseChange, r.beginChange
	if u.GetReset_() {
		next, begin = phaseSnapshot, r.beginSnapshot
	}
	if err := begin(u); err != nil {
		return err
	}
	r.phase = next
	r.incoming = &incoming{revision: u.GetRevision(), began: time.Now()}
	return nil
}

// beginSnapshot returns nil if a snapshot may begin with u.
func (r *replica) beginSnapshot(u *scoutv1.Update) error {
	switch {
	case r.phase == phaseQueued:
		return errEarly
	case r.phase != phaseGranted:
		return violation("a snapshot without a Grant")
	case u.GetRevision() == 0:
		return violation("a snapshot with revision 0")
	}
	return nil
}

// beginChange returns nil if a change may begin with u.
func (r *replica) beginChange(u *scoutv1.Update) error {
	switch {
	case r.shown.revision == 0:
		return violation("an update before a snapshot")
	case r.offered():
		return violation("an update between an Offer and its snapshot")
	case u.GetRevision() == 0:
		return violation("a change with revision 0")
	case u.GetRevision() != r.shown.revision+1:
		return violation("the revision jumps from %d to %d", r.shown.revision, u.GetRevision())
	}
	return nil
}

// reset shows a snapshot that is whole.
func (r *replica) reset(in *incoming, said fingerprint) error {
	set := in.added.Set()
	now := fingerprint{in.revision, uint64(set.Len()), set.Digest()}
	if now != said {
		return &difference{now, said}
	}
	r.member.Reset(set, in.arrival())
	r.recorder.Snapshot(set.Len(), in.bytes, time.Since(in.began))
	r.shown, r.phase = now, phaseShown
	r.settle(loadOf(set))
	return nil
}

// apply shows a change that is whole. That its count and digest fit matters more
// than whether its names make sense: a copy that differs is the likelier cause.
func (r *replica) apply(in *incoming, said fingerprint) error {
	d := files.Delta{Removed: in.removed.Set(), Added: in.added.Set()}
	now := r.shown.after(in.revision, d)
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
	r.shown, r.phase = now, phaseShown
	r.settle(after)
	return nil
}

func loadOf(s *files.Set) load { return load{uint64(s.Len()), s.Bytes()} }

// append takes in the names of one part, as far as there is capacity for them.
func (r *replica) append(u *scoutv1.Update) error {
	if r.phase == phaseSnapshot {
		if len(u.GetRemoved()) > 0 {
			return violation("a snapshot with removed names")
		}
		r.slot.arrive(len(u.GetAdded()))
	}
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
	if err := in.removed.Append(u.GetRemoved()); err != nil {
		return violation("removed: %v", err)
	}
	if err := in.added.Append(u.GetAdded()); err != nil {
		return violation("added: %v", err)
	}
	in.bytes += len(u.GetRemoved()) + len(u.GetAdded())
	return nil
}
