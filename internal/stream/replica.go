package stream

import (
	"fmt"
	"math"
	"time"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// phase is the phase of a master's session. It alone decides whether a snapshot may
// arrive. The package documentation has a table of phases and messages.
type phase int

const (
	phaseHidden    phase = iota // nothing is shown or offered
	phaseQueued                 // an Offer waits for its slot
	phaseGranted                // the Offer was granted: its snapshot is next
	phaseSnapshot               // parts of the snapshot have arrived
	phaseShown                  // the copy equals the scout's files
	phaseChange                 // parts of a change have arrived
	phaseDiffering              // the copy differs; the Resync is not sent yet
	phaseResyncing              // the copy differs; the Resync was sent
)

// replica is the protocol state of the master's copy of one scout's files. It enforces
// the rules, compares Beats with the copy, and shows through the member only complete
// and verified updates. The member has the names. One goroutine uses it.
type replica struct {
	member   Member
	quota    *quota
	queue    *snapshotQueue
	recorder Recorder

	phase    phase
	slot     *slot       // of the Offer, until its snapshot is complete or withdrawn
	shown    fingerprint // of the copy; zero: no copy. An Offer does not change it.
	load     load        // of the copy
	taken    load        // from the quota, for the copy and the incoming update
	incoming incoming    // in phaseSnapshot and phaseChange
}

// fingerprint identifies a set of names after a number of updates.
type fingerprint struct {
	revision, count, digest uint64
}

func (f fingerprint) String() string {
	return fmt.Sprintf("revision %d with %d files and digest %016x", f.revision, f.count, f.digest)
}

// after returns the fingerprint after a change. It needs only the names in d.
func (f fingerprint) after(revision uint64, d files.Delta) fingerprint {
	return fingerprint{
		revision: revision,
		count:    f.count + uint64(d.Added.Len()) - uint64(d.Removed.Len()),
		digest:   f.digest + d.Added.Digest() - d.Removed.Digest(),
	}
}

// difference says that the copy differs from the scout's fingerprint. It is not a
// violation; a new snapshot repairs the copy.
type difference struct{ copy, scout fingerprint }

func (d *difference) Error() string {
	return fmt.Sprintf("the copy is at %v, the scout at %v", d.copy, d.scout)
}

// errEarly is a snapshot for a Grant that was cancelled by an Unavailable. The two
// messages crossed, which is not a violation.
var errEarly = fmt.Errorf("the snapshot came by the Grant of an earlier Offer")

// adopt makes what the member shows from the start the copy, within the quota.
func (r *replica) adopt(k *Kept) error {
	if k == nil {
		return nil
	}
	copied := load{k.Count, k.Bytes}
	if err := r.quota.ofOne(copied); err != nil {
		return err
	}
	if err := r.quota.take(copied); err != nil {
		return err
	}
	r.load, r.taken = copied, copied
	r.shown, r.phase = fingerprint{adoptedRevision, k.Count, k.Digest}, phaseShown
	return nil
}

// receiving reports whether parts of an update are missing.
func (r *replica) receiving() bool { return r.phase == phaseSnapshot || r.phase == phaseChange }

// offered reports whether a snapshot is offered.
func (r *replica) offered() bool { return r.phase == phaseQueued || r.phase == phaseGranted }

// differs reports whether the scout has to send a new snapshot. Until then its
// statements about the copy have no effect.
func (r *replica) differs() bool { return r.phase == phaseDiffering || r.phase == phaseResyncing }

// offer requests a slot. A repeated Offer changes nothing. An Offer before the Resync
// was sent is not the answer to the Resync.
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

// usualName is the assumed size of a name, if an Offer has no number of bytes.
const usualName = 64

// sizeOf returns the approximate size of the offered snapshot in bytes.
func sizeOf(o *scoutv1.Offer) int64 {
	if o.GetBytes() > 0 {
		return int64(min(o.GetBytes(), math.MaxInt64))
	}
	return int64(min(o.GetCount(), math.MaxInt64/usualName) * usualName)
}

// slotReady returns a channel that is closed when the Offer may be granted, or nil if
// no Offer waits.
func (r *replica) slotReady() <-chan struct{} {
	if r.phase != phaseQueued {
		return nil
	}
	return r.slot.ready()
}

// grant admits the offered snapshot.
func (r *replica) grant() { r.phase = phaseGranted }

// unavailable hides the scout in every phase. A Resync that is due stays due, so that
// a scout cannot avoid the spacing of Resyncs.
func (r *replica) unavailable(reason string, scanned uint64) {
	r.drop()
	if r.phase != phaseDiffering {
		r.phase = phaseHidden
	}
	r.member.Hide(reason, scanned)
}

// Resyncing is the reason when the master itself hides a scout.
const Resyncing = "the copy differs, waiting for a snapshot"

// Scanning is the reason of a scout that scans its directory.
const Scanning = "scanning"

// differ hides the scout until a new snapshot; the Resync is due.
func (r *replica) differ() {
	r.drop()
	r.phase = phaseDiffering
	r.member.Hide(Resyncing, 0)
}

// resync notes that the Resync is sent.
func (r *replica) resync() { r.phase = phaseResyncing }

// drop discards the copy, the incoming update and the Offer.
func (r *replica) drop() {
	r.shown = fingerprint{}
	r.incoming = incoming{}
	r.settle(load{})
	r.withdraw()
}

// withdraw releases the slot, or leaves the queue.
func (r *replica) withdraw() {
	r.slot.release()
	r.slot = nil
}

// settle sets the load of the copy, and gives back the rest to the quota.
func (r *replica) settle(copied load) {
	r.quota.give(r.taken.minus(copied))
	r.load, r.taken = copied, copied
}

// beat compares the copy with the scout's fingerprint.
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

// milliseconds returns n ms, or the longest Duration if n is too large.
func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
}

// looked reports whether a Looked is about the current copy.
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

// update handles one part of an update, and shows the update when it is complete.
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
	defer r.incoming.forget()
	r.incoming.learned = time.Now().Add(-age(u))
	said := fingerprint{u.GetRevision(), u.GetCount(), u.GetDigest()}
	if r.phase == phaseSnapshot {
		r.withdraw()
		return r.reset(&r.incoming, said)
	}
	return r.apply(&r.incoming, said)
}

// expect checks that u belongs to the incoming update, or starts one.
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
	r.incoming.revision, r.incoming.began = u.GetRevision(), time.Now()
	return nil
}

// beginSnapshot returns an error if no snapshot may start with u.
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

// beginChange returns an error if no change may start with u.
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

// reset shows a complete snapshot.
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

// apply shows a complete change. It checks count and digest before the names, because a
// copy that differs is the most likely cause of names that do not fit.
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

// append adds the names of one part to the incoming update, within the quota.
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

// incoming is an update with missing parts. It has the names in the encoding of a
// set. Its memory serves all small updates of a session.
type incoming struct {
	revision       uint64
	began, learned time.Time
	bytes          int // of names, on the wire
	removed, added files.Builder
}

// keptSize is how many bytes of names an update may have had for its memory to be
// kept.
const keptSize = 4 << 10

// forget makes room for the next update, once the names of this one were taken.
func (in *incoming) forget() {
	if in.bytes > keptSize {
		*in = incoming{}
	}
	in.bytes = 0
}

func (in *incoming) arrival() Arrival {
	return Arrival{Revision: in.revision, Began: in.began, Learned: in.learned}
}

// longestAge limits the influence of a scout on a measurement.
const longestAge = time.Hour

// age returns how long the scout had known the change when it sent u.
func age(u *scoutv1.Update) time.Duration {
	return min(max(u.GetAge().AsDuration(), 0), longestAge)
}

// load returns the load that the update adds.
func (in *incoming) load() load { return load{uint64(in.added.Len()), in.added.Bytes()} }

// plausible returns a violation if the update removes more names than the copy has.
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
