package listing

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"scout/internal/files"
	"scout/internal/index"
)

// Part is a part of a Version for another Listing, see [Version.Parts].
type Part struct {
	// List is 0 for the merged list, and a number from 1 on for each run besides it.
	List uint64
	// Blocks is a part as package index packs them. The owner of an entry is the number
	// of its source, see [Source.Number].
	Blocks []byte
}

// Parts yields the entries in parts of about limit bytes for another Listing's
// [Import]. The blocks travel as they are; only the entries of masked sources are left
// out.
func (v *Version) Parts(limit int) iter.Seq[Part] {
	return func(yield func(Part) bool) {
		list, keep := uint64(0), v.unmasked()
		for blocks := range v.main.Pack(limit, keep) {
			if !yield(Part{list, blocks}) {
				return
			}
		}
		for _, r := range v.runs {
			if r.names.Len() == 0 {
				continue
			}
			list++
			for blocks := range r.names.Pack(limit, nil) {
				if !yield(Part{list, blocks}) {
					return
				}
			}
		}
	}
}

// unmasked returns which sources are shown, or nil if no entry is masked.
func (v *Version) unmasked() func(number uint32) bool {
	entries := v.main.Len()
	for _, r := range v.runs {
		entries += r.names.Len()
	}
	if entries == v.Len {
		return nil
	}
	return v.sources.live.has
}

// Numbers returns a number above those of all sources.
func (v *Version) Numbers() int { return v.sources.Numbers() }

// Number returns the number that owns the entries of the source in a Version.
func (s *Source) Number() uint32 { return s.number }

// Import is a list that comes from another Listing, part by part, in the order of
// [Version.Parts]. It believes nothing: it checks the parts, on all processors, while
// the next ones come. One goroutine uses it.
type Import struct {
	origins []*files.Origin // by the number of the source; nil: there is none
	ranks   []int32         // position in the order of origins; -1: there is none
	lists   [][]*unpacked   // main, and the runs

	checks *errgroup.Group
	failed context.Context     // done once a check has failed
	totals chan []files.Totals // of each goroutine, by the number of the source

	// Finish sets these:
	main *index.Index
	runs []run
	sums []files.Totals
}

// unpacked is a part. The names are known once it is checked.
type unpacked struct{ names *index.Index }

// NewImport returns an Import of a list that has these sources, by number. No two
// sources may have the same origin. The caller must call Finish.
func NewImport(origins map[uint32]files.Origin) *Import {
	m := &Import{lists: make([][]*unpacked, 1)}
	sorted := slices.SortedFunc(maps.Keys(origins), func(a, b uint32) int { return origins[a].Compare(origins[b]) })
	if len(sorted) > 0 {
		numbers := int(slices.Max(sorted)) + 1
		m.origins, m.ranks = make([]*files.Origin, numbers), make([]int32, numbers)
	}
	for n := range m.ranks {
		m.ranks[n] = -1
	}
	for rank, n := range sorted {
		origin := origins[n]
		m.origins[n], m.ranks[n] = &origin, int32(rank)
	}
	m.checks, m.failed = errgroup.WithContext(context.Background())
	workers := runtime.GOMAXPROCS(0)
	m.checks.SetLimit(workers)
	m.totals = make(chan []files.Totals, workers)
	for range workers {
		m.totals <- nil
	}
	return m
}

// Errors of an Import, beside those of the formats.
var (
	errOrder    = errors.New("a part is of another list than expected")
	errNoSource = errors.New("an entry has no source")
	errNoRun    = errors.New("a run is not the whole list of one source")
)

// Add adds the next part. It returns before the part is checked, unless there are
// several of them.
func (m *Import) Add(p Part) error {
	if m.failed.Err() != nil {
		return m.checks.Wait()
	}
	switch last := uint64(len(m.lists) - 1); p.List {
	case last:
	case last + 1:
		m.lists = append(m.lists, nil)
	default:
		return errOrder
	}
	u := new(unpacked)
	m.lists[p.List] = append(m.lists[p.List], u)
	m.checks.Go(func() error {
		totals := <-m.totals
		if totals == nil {
			totals = make([]files.Totals, len(m.origins))
		}
		defer func() { m.totals <- totals }()
		var err error
		u.names, err = index.Unpack(p.Blocks, m.order, func(name []byte, shared int, owner uint32) error {
			if owner >= uint32(len(m.ranks)) || m.ranks[owner] < 0 {
				return errNoSource
			}
			return totals[owner].Add(name, shared)
		})
		return err
	})
	return nil
}

// order sorts the sources of one name as [Version.order] does.
func (m *Import) order(a, b uint32) int { return int(m.ranks[a]) - int(m.ranks[b]) }

// Finish waits until all parts are checked, and returns what is wrong with them, or
// nil. After an error the Import is of no use.
func (m *Import) Finish() error {
	if err := m.checks.Wait(); err != nil {
		return err
	}
	m.sums = make([]files.Totals, len(m.origins))
	for range cap(m.totals) {
		for n, t := range <-m.totals {
			m.sums[n].Sum(t)
		}
	}
	for i, parts := range m.lists {
		names, err := m.join(parts)
		if err != nil {
			return err
		}
		if i == 0 {
			m.main = names
			continue
		}
		owner, ok := names.Owner()
		if !ok || uint64(names.Len()) != m.sums[owner].Names { // it has entries elsewhere too
			return errNoRun
		}
		m.runs = append(m.runs, run{owner, names})
	}
	return nil
}

func (m *Import) join(parts []*unpacked) (*index.Index, error) {
	all := make([]*index.Index, len(parts))
	for i, p := range parts {
		all[i] = p.names
	}
	names, err := index.Join(m.order, all)
	if err != nil {
		return nil, fmt.Errorf("join the parts of a list: %w", err)
	}
	return names, nil
}

// Totals returns what is known of the names of a source, once Finish has returned nil.
func (m *Import) Totals(number uint32) files.Totals { return m.sums[number] }

// Import replaces the list, which was just restarted, with one that comes from another
// Listing. It returns the sources by number.
func (tx *Tx) Import(m *Import) []*Source {
	all, live := make([]*Source, len(m.origins)), make(bitset, (len(m.origins)+63)/64)
	v := tx.v
	v.main, v.runs = m.main, m.runs
	for n, origin := range m.origins {
		if origin == nil {
			tx.l.free = append(tx.l.free, uint32(n))
			continue
		}
		all[n] = &Source{Origin: *origin, number: uint32(n), len: int(m.sums[n].Names)}
		live[n/64] |= 1 << (n % 64)
		v.Len += all[n].len
	}
	v.Changes += uint64(v.Len)
	v.sources = &Sources{all: slices.Clone(all), live: live}
	return all
}
