package listing

import (
	"fmt"
	"math/bits"
	"slices"
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/index"
)

// Version is one consistent state of a Listing. It is immutable.
type Version struct {
	// Epoch names the order that positions and revisions count. A tag of another
	// epoch, such as one of a scoutmaster's earlier life, says nothing of this list.
	Epoch uint64
	// Position is how far the list has followed its log.
	Position uint64
	// Revision is the position of the last entry that changed names, or who
	// shows them.
	Revision uint64
	// Len is the number of entries.
	Len int
	// Changes counts the entries that have come or gone since the Listing was
	// made.
	Changes uint64

	main    *index.Index
	runs    []run
	sources *Sources
	masked  uint64 // counts how often a source that is in main was taken out of sight
}

// Sources are those of a Version. They are immutable.
type Sources struct {
	// Memo is for what a reader makes of the sources and would like to find
	// again. It lives as long as they stay the same.
	Memo atomic.Value

	all  []*Source // by number, those too that are masked but still in main
	live bitset    // the numbers of those that are shown
}

// Shown returns the source of an entry, or nil when it is masked.
func (s *Sources) Shown(owner uint32) *Source {
	if !s.live.has(owner) {
		return nil
	}
	return s.all[owner]
}

// Numbers is how many numbers there are: all owners are below.
func (s *Sources) Numbers() int { return len(s.all) }

// where returns the numbers of the sources that are shown and whose origins are
// wanted.
func (s *Sources) where(wanted func(files.Origin) bool) bitset {
	some := make(bitset, len(s.live))
	for n := range s.all { // of those that are not shown not even the pointer may be read, see with
		if s.live.has(uint32(n)) && wanted(s.all[n].Origin) {
			some[n/64] |= 1 << (n % 64)
		}
	}
	return some
}

// with returns the sources with one more. The slice is shared with older
// ones: an element that one of them might read is never written, see
// [Listing.recycle].
func (s *Sources) with(n uint32, added *Source) *Sources {
	all := s.all
	if int(n) < len(all) {
		all[n] = added
	} else {
		all = append(all, added)
	}
	return &Sources{all: all, live: s.live.with(n)}
}

func (s *Sources) without(n uint32) *Sources {
	return &Sources{all: s.all, live: s.live.without(n)}
}

// Source is one whole list from one scout, later changed, and the number that
// its entries carry. A scout that sends a whole list again is a new source.
type Source struct {
	Origin files.Origin
	// Memo is for what a reader makes of the Origin and would like to find again.
	Memo atomic.Value

	number uint32
	len    int // entries; guarded by the Listing's mu
}

// run is the list of a source that is not merged yet.
type run struct {
	number uint32
	names  *index.Index
}

// runOf returns which run is the source's, or -1 when it is in main.
func (v *Version) runOf(number uint32) int {
	return slices.IndexFunc(v.runs, func(r run) bool { return r.number == number })
}

// apply makes an edit in v, which is not published yet.
func (v *Version) apply(e index.Edit) error {
	i := v.runOf(e.Owner)
	if i < 0 {
		e.Order = v.order
		main, err := v.main.Apply(e)
		if err != nil {
			return err
		}
		v.main = main
		return nil
	}
	names, err := v.runs[i].names.Apply(e)
	if err != nil {
		return err
	}
	v.runs = slices.Clone(v.runs)
	v.runs[i].names = names
	return nil
}

// order sorts the sources of one name: by origin, then by number, for two may
// have one origin while one of them is masked.
func (v *Version) order(a, b uint32) int {
	if c := v.sources.all[a].Origin.Compare(v.sources.all[b].Origin); c != 0 {
		return c
	}
	return int(a) - int(b)
}

// Entries reads a Version in order: by filename, then host, then directory.
//
//	for e := v.Entries(); e.Next(); {
//		use(e.Name(), e.Source())
//	}
type Entries struct {
	*index.Merger
	sources *Sources
	shown   bitset // the numbers of the sources whose entries are read
}

// Entries returns a reader before the first entry.
func (v *Version) Entries() *Entries {
	return v.EntriesOf(v.inputs(v.sources.live)...)
}

// EntriesWhere returns a reader of the entries of those sources whose origins
// are wanted. Of other sources it passes over what has a block to itself.
func (v *Version) EntriesWhere(wanted func(files.Origin) bool) *Entries {
	shown := v.sources.where(wanted)
	return &Entries{
		Merger:  index.NewMergerOf(v.order, shown.has, v.inputs(shown)...),
		sources: v.sources,
		shown:   shown,
	}
}

// EntriesOf returns a reader of some of the entries that v consists of.
func (v *Version) EntriesOf(inputs ...*index.Index) *Entries {
	return &Entries{Merger: index.NewMerger(v.order, inputs...), sources: v.sources, shown: v.sources.live}
}

// inputs returns the indexes that have the sources' entries.
func (v *Version) inputs(shown bitset) []*index.Index {
	inputs := []*index.Index{v.main}
	for _, r := range v.runs {
		if shown.has(r.number) {
			inputs = append(inputs, r.names)
		}
	}
	return inputs
}

// Next moves to the next entry of a source that is shown.
func (e *Entries) Next() bool {
	for e.Merger.Next() {
		if e.shown.has(e.Owner()) {
			return true
		}
	}
	return false
}

// Source returns whose the current entry is.
func (e *Entries) Source() *Source { return e.sources.all[e.Owner()] }

// Merged reports whether all entries are in the leaves of the merged list.
func (v *Version) Merged() bool { return len(v.runs) == 0 }

// Leaves returns the merged list in stretches, masked entries and all. A
// stretch is the same pointer for as long as it stays the same.
func (v *Version) Leaves() []*index.Leaf { return v.main.Leaves() }

// Sources returns whose the entries are.
func (v *Version) Sources() *Sources { return v.sources }

// Masked is different in two Versions when a source that is in the merged list
// of both is shown in only one. What was made of a leaf is true of it in another
// Version while this is the same.
func (v *Version) Masked() uint64 { return v.masked }

// Tag is the same as that of another Version, of this Listing or of any other,
// only when both have the same entries.
func (v *Version) Tag() string { return fmt.Sprintf("%016x-%d", v.Epoch, v.Revision) }

// bitset is an immutable set of small numbers.
type bitset []uint64

func (b bitset) has(n uint32) bool {
	i := int(n / 64)
	return i < len(b) && b[i]&(1<<(n%64)) != 0
}

func (b bitset) with(n uint32) bitset {
	c := make(bitset, max(len(b), int(n/64)+1))
	copy(c, b)
	c[n/64] |= 1 << (n % 64)
	return c
}

func (b bitset) without(n uint32) bitset {
	if !b.has(n) {
		return b
	}
	c := slices.Clone(b)
	c[n/64] &^= 1 << (n % 64)
	return c
}

func (b bitset) count() (n int) {
	for _, w := range b {
		n += bits.OnesCount64(w)
	}
	return n
}
