package listing

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"scout/internal/index"
)

// When to merge. Reads get slower with each run, and memory is held by masked
// entries; a merge costs up to some 100 ns for each entry of the Listing.
const (
	mergeRuns  = 8                      // runs that are too many, however busy the Listing is
	mergeQuiet = 250 * time.Millisecond // runs are merged when nothing came for so long
	sweepShare = 4                      // sweep when one in so many entries is masked
	sweepLeast = 4096                   // but not for fewer than this
)

const (
	// tidyLeast is how many bytes of names make it worth to collect garbage for
	// a merge.
	tidyLeast = 16 << 20
	// tidyAgain is how long after a merge those have left who read what it
	// merged.
	tidyAgain = 5 * time.Second
)

// Run merges in the background until ctx is done. It returns an error only when
// the Listing has found itself to be wrong.
func (l *Listing) Run(ctx context.Context) error {
	pace := newPace()
	quiet, untidy := time.NewTimer(mergeQuiet), (<-chan time.Time)(nil)
	for {
		calm := false
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
			quiet.Reset(mergeQuiet)
		case <-quiet.C:
			calm = true
		case <-untidy:
			debug.FreeOSMemory()
		}
		switch due := l.mergeDue(calm); {
		case due && pace.allows(calm):
			began, large := time.Now(), l.Current().size() >= tidyLeast
			if err := l.mergeTidily(large); err != nil {
				return err
			}
			pace.spend(time.Since(began))
			if large {
				untidy = time.After(tidyAgain)
			}
			fallthrough
		case due && calm: // see again soon
			quiet.Reset(mergeQuiet)
		}
	}
}

// mergeTidily merges, of a large list with little garbage beside the old one and
// the new one while there are both, and no more than the new one in memory after
// that, however small it is by then. An idle master makes so little garbage that
// the collector would not come for minutes.
func (l *Listing) mergeTidily(large bool) error {
	if !large {
		return l.Merge()
	}
	runtime.GC() // the new list may take the place of what the runs came in
	defer debug.FreeOSMemory()
	return l.Merge()
}

func (l *Listing) mergeDue(calm bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.Current()
	return len(v.runs) > mergeRuns ||
		len(v.runs) > 0 && calm ||
		l.dead > sweepLeast && l.dead > v.main.Len()/sweepShare ||
		v.sources.Numbers() > 2*v.sources.live.count()+sweepLeast
}

// journal is what a merge that is under way must be told when it is done.
type journal struct {
	merging bitset // the sources whose names will be in main
	edits   []edit
}

// note keeps an edit that the merge does not see. A nil journal needs none.
func (j *journal) note(e edit) {
	if j != nil && j.merging.has(e.Owner) {
		j.edits = append(j.edits, e)
	}
}

// join adds a source that has no names yet. Those that it gets go into main.
func (j *journal) join(number uint32) {
	if j != nil {
		j.merging = j.merging.with(number)
	}
}

// Merge makes one list of main and the runs, without the masked entries.
// Readers and writers go on meanwhile. It changes nothing that can be seen. An
// error says that the books are wrong; then nothing has changed at all.
func (l *Listing) Merge() error { return l.merge(l.beginMerge()) }

// merge merges what was there when it began.
func (l *Listing) merge(from *Version) error {
	l.resolve() // what is about to be swept
	inputs := []*index.Index{from.main}
	for _, r := range from.runs {
		inputs = append(inputs, r.names)
	}
	merged := index.Merge(from.order, from.sources.live.has, inputs...)
	for {
		edits, order := l.manyEdits()
		if edits == nil {
			return l.endMerge(merged)
		}
		var err error
		if merged, err = applyAll(merged, edits, order); err != nil {
			l.abandonMerge()
			return err
		}
	}
}

func (l *Listing) beginMerge() *Version {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.Current()
	l.journal = &journal{merging: v.sources.live}
	return v
}

// manyEdits takes the journal's edits, and the order of their sources. It
// returns nil when they are so few that they may be applied while writers wait.
func (l *Listing) manyEdits() ([]edit, index.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.journal.edits) < 64 {
		return nil, nil
	}
	edits := l.journal.edits
	l.journal.edits = nil
	return edits, l.Current().order
}

func applyAll(ix *index.Index, edits []edit, order index.Order) (*index.Index, error) {
	for _, e := range edits {
		e.Order = order
		next, err := ix.Apply(e)
		if err != nil {
			return nil, fmt.Errorf("catch up with a merge: %w", err)
		}
		ix = next
	}
	return ix, nil
}

func (l *Listing) abandonMerge() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal = nil
}

// endMerge puts the merged list in the place of what it was made from.
func (l *Listing) endMerge(merged *index.Index) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	done := l.journal
	l.journal = nil
	v := *l.Current()
	merged, err := applyAll(merged, done.edits, v.order)
	if err != nil {
		return err
	}
	v.main = merged
	v.runs = slices.DeleteFunc(slices.Clone(v.runs), func(r run) bool { return done.merging.has(r.number) })
	if err := l.recycle(&v, done.merging); err != nil {
		return err
	}
	l.current.Store(&v)
	return nil
}

// recycle finds the numbers that main no longer has, given those that were
// merged into it, and counts what is masked in it. The slice of sources is made
// anew, so that no reader of an older Version sees a number change hands.
func (l *Listing) recycle(v *Version, merged bitset) error {
	live := v.sources.live
	sources, free := slices.Clone(v.sources.all), slices.Clone(l.free)
	entries, dead := 0, 0
	for n, s := range sources {
		switch n := uint32(n); {
		case s == nil:
		case merged.has(n):
			entries += s.len
			if !live.has(n) {
				dead += s.len
			}
		case !live.has(n):
			sources[n] = nil
			free = append(free, n)
		}
	}
	if entries != v.main.Len() {
		return fmt.Errorf("a merge made %d entries of %d", v.main.Len(), entries)
	}
	v.sources, l.free, l.dead = &Sources{all: sources, live: live}, free, dead
	return nil
}
