package listing

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/index"
	"scout/internal/wake"
)

// Listing is the merged list of the files of all sources. Writers take turns.
// Readers take the current [Version], which is immutable, and block nobody.
//
// The list of a source arrives as a whole and is shown at once as a separate run,
// without a cost for each name. In the background the runs are merged into one
// list, main, because reading one list is several times as fast as merging many.
// The entries of main have the number of their source. A change is applied where the
// names of the source are, in its run or in main, and copies one block. A source
// that leaves is masked at once; the next merge removes its names from main.
type Listing struct {
	current  atomic.Pointer[Version]
	mergeDue wake.Signal    // a merge may be due
	later    wake.Broadcast // wakes at each revision

	mu      sync.Mutex // held to replace current, and guards the fields below
	tx      Tx         // the transaction that holds mu
	free    []uint32   // unused numbers
	dead    int        // entries in main that are masked
	journal *journal   // changes since the merge under way began; nil without a merge
	history history    // recent changes, while a reader watches

	resolving sync.Mutex // held to find the names that the history lacks
}

// New returns an empty Listing with a random epoch, which no other epoch precedes
// or follows. [Listing.Run] does its merges.
func New() *Listing {
	l := &Listing{mergeDue: wake.NewSignal()}
	l.tx.l, l.tx.batches = l, 1 // a new source is in none
	l.current.Store(&Version{Epoch: newEpoch(), main: new(index.Index), sources: new(Sources)})
	return l
}

// lonely is the bit that random epochs have. Those of a log that scoutmasters
// share never have it: they ascend, from a number of milliseconds.
const lonely = 1 << 63

func newEpoch() uint64 {
	var p [8]byte
	rand.Read(p[:]) // never fails
	return binary.BigEndian.Uint64(p[:]) | lonely
}

// Current returns the current version of the list.
func (l *Listing) Current() *Version { return l.current.Load() }

// After returns a channel that is closed once there is a later revision or another
// epoch.
func (l *Listing) After(epoch, revision uint64) <-chan struct{} {
	later := l.later.Wait() // before the comparison, to miss no revision
	if v := l.Current(); v.Revision > revision || v.Epoch != epoch {
		return closed
	}
	return later
}

// closed is a closed channel.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Tx is a change of a Listing in progress. Its revisions become visible
// together at Commit; the history keeps them apart. One goroutine uses it.
type Tx struct {
	l     *Listing
	v     *Version // Commit publishes it
	parts []part   // the changes of v
	start *uint64  // the revision at which the history starts again, or nil

	batching bool
	batch    []index.Edit // of main, each of another source, that v does not have yet
	batches  uint64       // the number of the batch, from 1 on
}

// Begin starts a change. Other writers wait until Commit, which the caller must
// call.
func (l *Listing) Begin() *Tx {
	l.mu.Lock()
	v := *l.current.Load()
	l.tx.v = &v
	return &l.tx
}

// BeginBatch is Begin for many steps. It applies their changes together, which
// costs less if they are near each other in the list, but a change alone costs more.
func (l *Listing) BeginBatch() *Tx {
	tx := l.Begin()
	tx.batching = true
	return tx
}

// Commit publishes the change. A change without a revision, such as one of the
// position alone, wakes no reader.
func (tx *Tx) Commit() {
	tx.applyBatch()
	l, v := tx.l, tx.v
	before := l.current.Load()
	l.history.mu.Lock() // a reader that learns of a revision finds that it is current
	if tx.start != nil {
		l.history.restart(*tx.start)
	}
	l.history.note(v, tx.parts)
	l.current.Store(v)
	l.history.mu.Unlock()
	clear(tx.parts)
	tx.v, tx.parts, tx.start, tx.batching = nil, tx.parts[:0], nil, false
	l.mu.Unlock()
	if v.Revision != before.Revision || v.Epoch != before.Epoch {
		l.later.WakeSoon()
		l.mergeDue.Set()
	}
}

// Advance sets the log position of the following steps. A step that changes names
// or their sources makes its position the revision. A source
// without names shows nothing.
func (tx *Tx) Advance(position uint64) { tx.v.Position = position }

// Show adds a source with its whole list and removes old, unless that is nil,
// in one step.
func (tx *Tx) Show(origin files.Origin, set *files.Set, old *Source) *Source {
	l, v := tx.l, tx.v
	if set.Len() > 0 || old != nil && old.len > 0 {
		tx.revise()
	}
	if old != nil {
		tx.mask(old)
	}
	s := &Source{Origin: origin, len: set.Len(), number: l.number(v)}
	tx.note(true, s, set.Index())
	v.sources = v.sources.with(s.number, s)
	v.Len += s.len
	v.Changes += uint64(s.len)
	if s.len > 0 {
		v.runs = append(slices.Clip(v.runs), run{s.number, set.Index().Owned(s.number)})
	} else {
		l.journal.join(s.number)
	}
	return s
}

// Drop removes a source. The caller must not use it again.
func (tx *Tx) Drop(s *Source) {
	if s.len > 0 {
		tx.revise()
	}
	tx.mask(s)
}

// Change applies a delta to a source as one step, and returns the number of entries
// of the source. If a name does not fit, it returns an error with the name and
// changes nothing.
func (tx *Tx) Change(s *Source, d files.Delta) (int, error) {
	e := index.Edit{Removed: d.Removed.Index(), Added: d.Added.Index(), Owner: s.number}
	if err := tx.apply(s, e); err != nil {
		return s.len, err
	}
	tx.revise()
	tx.note(false, s, e.Removed)
	tx.note(true, s, e.Added)
	grown := d.Added.Len() - d.Removed.Len()
	s.len += grown
	tx.v.Len += grown
	tx.v.Changes += uint64(d.Added.Len() + d.Removed.Len())
	tx.l.journal.note(e)
	return s.len, nil
}

// batchedMost is how many names an edit of a batch may have. Each takes a search, to
// know whether it fits.
const batchedMost = 16

// apply applies an edit of a source, or adds it to the batch if it fits.
func (tx *Tx) apply(s *Source, e index.Edit) error {
	tx.settle(s)
	if !tx.batching || e.Removed.Len()+e.Added.Len() > batchedMost || tx.v.runOf(s.number) >= 0 {
		return tx.v.apply(e)
	}
	if err := tx.v.main.Fits(tx.v.order, e); err != nil {
		return err
	}
	tx.batch, s.batch = append(tx.batch, e), tx.batches
	return nil
}

// settle makes sure that v has all edits of a source.
func (tx *Tx) settle(s *Source) {
	if s.batch == tx.batches {
		tx.applyBatch()
	}
}

// applyBatch applies the batch, and begins another one.
func (tx *Tx) applyBatch() {
	if len(tx.batch) == 0 {
		return
	}
	if err := tx.v.applyToMain(tx.batch...); err != nil {
		panic(err) // each of them fits, and they have nothing in common
	}
	clear(tx.batch)
	tx.batch = tx.batch[:0]
	tx.batches++
}

// Restart empties the list and starts another epoch at position. The caller must
// not use earlier sources. The history starts again.
func (tx *Tx) Restart(epoch, position uint64) {
	tx.applyBatch()
	l := tx.l
	*tx.v = Version{
		Epoch: epoch, Position: position, Revision: position,
		Changes: tx.v.Changes + uint64(tx.v.Len), masked: tx.v.masked + 1,
		main: new(index.Index), sources: new(Sources),
	}
	l.free, l.dead, l.journal = nil, 0, nil
	tx.restart(position)
}

// At sets the revision of a list that another scoutmaster has sent.
func (tx *Tx) At(revision uint64) {
	tx.v.Revision = revision
	tx.restart(revision)
}

// restart has the history start again at a revision.
func (tx *Tx) restart(revision uint64) {
	clear(tx.parts)
	tx.parts, tx.start = tx.parts[:0], &revision
}

// revise makes the position the revision.
func (tx *Tx) revise() { tx.v.Revision = tx.v.Position }

// note records added or removed names for the history.
func (tx *Tx) note(added bool, s *Source, names *index.Index) {
	if tx.l.history.kept && names.Len() > 0 {
		tx.parts = append(tx.parts, part{tx.v.Revision, s, names, names.Size(), added})
	}
}

// number returns a number that no entry uses.
func (l *Listing) number(v *Version) uint32 {
	n := len(l.free)
	if n == 0 {
		return uint32(v.sources.Numbers())
	}
	number := l.free[n-1]
	l.free = l.free[:n-1]
	return number
}

// mask hides a source. It discards the run of the source; entries in main stay until
// the next merge.
func (tx *Tx) mask(s *Source) {
	tx.settle(s)
	l, v := tx.l, tx.v
	i := v.runOf(s.number)
	switch {
	case i >= 0:
		tx.note(false, s, v.runs[i].names)
	case l.history.kept && s.len > 0: // finding the names costs a scan of main: not here
		tx.parts = append(tx.parts, part{v.Revision, s, nil, s.len * v.main.Size() / v.main.Len(), false})
	}
	v.sources = v.sources.without(s.number)
	v.Len -= s.len
	v.Changes += uint64(s.len)
	if i >= 0 {
		v.runs = slices.Delete(slices.Clone(v.runs), i, i+1)
		return
	}
	l.dead += s.len
	v.masked++
}

// Show is [Tx.Show] in a separate change at the next position.
func (l *Listing) Show(origin files.Origin, set *files.Set, old *Source) *Source {
	tx := l.beginNext()
	defer tx.Commit()
	return tx.Show(origin, set, old)
}

// Drop is [Tx.Drop] in a separate change at the next position.
func (l *Listing) Drop(s *Source) {
	tx := l.beginNext()
	defer tx.Commit()
	tx.Drop(s)
}

// Change is [Tx.Change] in a separate change at the next position.
func (l *Listing) Change(s *Source, d files.Delta) (int, error) {
	tx := l.beginNext()
	defer tx.Commit()
	return tx.Change(s, d)
}

func (l *Listing) beginNext() *Tx {
	tx := l.Begin()
	tx.Advance(tx.v.Position + 1)
	return tx
}
