package listing

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"scout/internal/index"
	"scout/internal/throttle"
)

// When to merge. Each run slows down reads, and masked entries take memory. A merge
// takes up to about 100 ns for each entry of the Listing.
const (
	mergeRuns   = 8                      // more runs are merged, however busy the Listing is
	mergeQuiet  = 250 * time.Millisecond // runs are merged after this time without a change
	mergeShare  = 8                      // merges take 1/mergeShare of the time
	mergeCredit = 10 * time.Second       // which merges of a quiet list may exceed by this
	sweepShare  = 4                      // sweep when 1/sweepShare of the entries are masked
	sweepLeast  = 4096                   // but not for fewer than this
)

const (
	// tidyLeast is the size of names, in bytes, from which a merge collects
	// garbage.
	tidyLeast = 16 << 20
	// tidyAgain is the time after a merge until the readers of its inputs have
	// left.
	tidyAgain = 5 * time.Second
)

// Run merges in the background until ctx is done. It returns an error only when
// the Listing is inconsistent.
func (l *Listing) Run(ctx context.Context) error {
	pace := newMergePace()
	quiet, untidy := time.NewTimer(mergeQuiet), (<-chan time.Time)(nil)
	for {
		calm := false
		select {
		case <-ctx.Done():
			return nil
		case <-l.mergeDue:
			quiet.Reset(mergeQuiet)
		case <-quiet.C:
			calm = true
		case <-untidy:
			debug.FreeOSMemory()
		}
		switch due := l.needsMerge(calm); {
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
		case due && calm: // try again soon
			quiet.Reset(mergeQuiet)
		}
	}
}

// mergePace keeps merging to a share of the time, however many changes come. A
// merge of a busy list waits for its share after the last merge: the next one
// would soon be due again. A merge of a calm list is probably the last for a
// long time, so it does not wait while there is credit.
type mergePace struct {
	budget *throttle.Budget
	took   time.Duration // by the last merge
	ended  time.Time     // of the last merge
}

func newMergePace() *mergePace {
	return &mergePace{budget: throttle.NewBudget(1.0/mergeShare, mergeCredit), ended: time.Now()}
}

// allows reports whether a merge may begin now.
func (p *mergePace) allows(calm bool) bool {
	return time.Since(p.ended) >= mergeShare*p.took || calm && p.budget.Credit() > 0
}

// spend records a merge that has ended now.
func (p *mergePace) spend(took time.Duration) {
	p.budget.Spend(took)
	p.took, p.ended = took, time.Now()
}

// mergeTidily merges. It collects the garbage around the merge of a large list,
// so that the old and the new list share the memory with little garbage, and
// the old list leaves no resident memory behind. An idle scoutmaster makes so
// little garbage that the collector would not run for minutes.
func (l *Listing) mergeTidily(large bool) error {
	if !large {
		return l.Merge()
	}
	runtime.GC() // the new list may take the place of the runs' encoded parts
	defer debug.FreeOSMemory()
	return l.Merge()
}

func (l *Listing) needsMerge(calm bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.Current()
	return len(v.runs) > mergeRuns ||
		len(v.runs) > 0 && calm ||
		l.dead > sweepLeast && l.dead > v.main.Len()/sweepShare ||
		v.sources.Numbers()-len(l.free) > 2*v.sources.live.count()+sweepLeast // of sources that are gone
}

// journal is a merge in progress: its input, and the edits since its start.
type journal struct {
	from    *Version
	merging bitset // the sources whose names will be in main
	edits   []index.Edit
}

// note records an edit of a source that is being merged. A nil journal does
// nothing.
func (j *journal) note(e index.Edit) {
	if j != nil && j.merging.has(e.Owner) {
		j.edits = append(j.edits, e)
	}
}

// join adds a source without names. Its later names go into main.
func (j *journal) join(number uint32) {
	if j != nil {
		j.merging = j.merging.with(number)
	}
}

// Merge merges main and the runs into one list, without the masked entries.
// Readers and writers continue during the merge. An error says that the Listing is
// inconsistent; then nothing has changed.
func (l *Listing) Merge() error { return l.merge(l.beginMerge()) }

// merge merges the input of j.
func (l *Listing) merge(j *journal) error {
	l.resolve() // before the names leave main
	inputs := []*index.Index{j.from.main}
	for _, r := range j.from.runs {
		inputs = append(inputs, r.names)
	}
	merged := index.Merge(j.from.order, j.from.sources.live.has, inputs...)
	for {
		edits, order := l.manyEdits(j)
		if edits == nil {
			return l.endMerge(j, merged)
		}
		var err error
		if merged, err = applyAll(merged, edits, order); err != nil {
			l.abandonMerge(j)
			return err
		}
	}
}

func (l *Listing) beginMerge() *journal {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.Current()
	l.journal = &journal{from: v, merging: v.sources.live}
	return l.journal
}

// manyEdits removes the edits from the journal, and returns them with the order of
// their sources. It returns nil if there are so few that endMerge may apply them
// while writers wait.
func (l *Listing) manyEdits(j *journal) ([]index.Edit, index.Order) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(j.edits) < 64 {
		return nil, nil
	}
	edits := j.edits
	j.edits = nil
	return edits, l.Current().order
}

func applyAll(ix *index.Index, edits []index.Edit, order index.Order) (*index.Index, error) {
	for _, e := range edits {
		next, err := ix.Apply(order, e)
		if err != nil {
			return nil, fmt.Errorf("catch up with a merge: %w", err)
		}
		ix = next
	}
	return ix, nil
}

func (l *Listing) abandonMerge(j *journal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journal == j {
		l.journal = nil
	}
}

// endMerge replaces the inputs with the merged list, unless the Listing has
// restarted since.
func (l *Listing) endMerge(j *journal, merged *index.Index) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.journal != j {
		return nil
	}
	l.journal = nil
	v := *l.Current()
	merged, err := applyAll(merged, j.edits, v.order)
	if err != nil {
		return err
	}
	v.main = merged
	v.runs = slices.DeleteFunc(slices.Clone(v.runs), func(r run) bool { return j.merging.has(r.number) })
	if err := l.recycle(&v, j.merging); err != nil {
		return err
	}
	l.current.Store(&v)
	return nil
}

// recycle frees the numbers that main no longer uses, and counts the masked entries
// in main: the entries of sources that left during the merge. merged are the sources
// in main. It copies the slice of sources, so that a reader of an older Version never
// sees a reused number.
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
