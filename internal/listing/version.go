package listing

import (
	"bytes"
	"fmt"
	"math/bits"
	"slices"

	"scout/internal/files"
	"scout/internal/index"
)

// Version is one consistent state of a Listing. It is immutable.
type Version struct {
	// Epoch identifies the history that positions and revisions belong to. Those of
	// different epochs cannot be compared. See [Version.Precedes] for their order.
	Epoch uint64
	// Position is the position of the last log entry that the list has followed.
	Position uint64
	// Revision is the position of the last log entry that changed names or their
	// sources.
	Revision uint64
	// Len is the number of entries.
	Len int
	// Changes is the number of entries added and removed since the Listing was
	// made.
	Changes uint64

	main    *index.Index
	runs    []run
	sources *Sources
	masked  uint64 // counts the sources that were masked while they were in main
}

// Sources are the sources of a Version. They are immutable.
type Sources struct {
	all  []*Source // by number; includes masked sources that are still in main
	live bitset    // the numbers of the shown sources
}

// Shown returns the source of an entry, or nil if the source is masked.
func (s *Sources) Shown(owner uint32) *Source {
	if !s.live.has(owner) {
		return nil
	}
	return s.all[owner]
}

// Numbers returns a number above all owners of entries.
func (s *Sources) Numbers() int { return len(s.all) }

// where returns the numbers of the shown sources whose origins are wanted.
func (s *Sources) where(wanted func(files.Origin) bool) bitset {
	some := make(bitset, len(s.live))
	for n := range s.all { // the pointer of a source that is not shown must not be read: see with
		if s.live.has(uint32(n)) && wanted(s.all[n].Origin) {
			some[n/64] |= 1 << (n % 64)
		}
	}
	return some
}

// with returns the sources with an added one. It shares the slice with older
// Sources, and never writes an element that one of them may read: see
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

// Source is the list of one scout since its last snapshot. Its entries have its
// number as their owner. Each snapshot of a scout makes a new source.
type Source struct {
	Origin files.Origin

	number uint32
	// The Listing's mu guards these:
	len   int    // entries
	batch uint64 // the last batch that has an edit of it
}

// run is the list of a source before it is merged into main.
type run struct {
	number uint32
	names  *index.Index
}

// runOf returns the index of a source's run, or -1 if the source is in main.
func (v *Version) runOf(number uint32) int {
	return slices.IndexFunc(v.runs, func(r run) bool { return r.number == number })
}

// apply applies an edit to v, which is not published yet.
func (v *Version) apply(e index.Edit) error {
	i := v.runOf(e.Owner)
	if i < 0 {
		return v.applyToMain(e)
	}
	names, err := v.runs[i].names.Apply(nil, e)
	if err != nil {
		return err
	}
	v.runs = slices.Clone(v.runs)
	v.runs[i].names = names
	return nil
}

func (v *Version) applyToMain(edits ...index.Edit) error {
	main, err := v.main.Apply(v.order, edits...)
	if err == nil {
		v.main = main
	}
	return err
}

// order sorts the sources of one name by origin, then by number: a masked source
// may have the origin of its successor.
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

// EntriesWhere returns a reader of the entries whose origins are wanted. It skips
// blocks that belong to one other source.
func (v *Version) EntriesWhere(wanted func(files.Origin) bool) *Entries {
	shown := v.sources.where(wanted)
	return &Entries{
		Merger:  index.NewMergerOf(v.order, shown.has, v.inputs(shown)...),
		sources: v.sources,
		shown:   shown,
	}
}

// EntriesOf returns a reader of some indexes of v.
func (v *Version) EntriesOf(inputs ...*index.Index) *Entries {
	return &Entries{Merger: index.NewMerger(v.order, inputs...), sources: v.sources, shown: v.sources.live}
}

// inputs returns the indexes that contain the entries of the sources.
func (v *Version) inputs(shown bitset) []*index.Index {
	inputs := []*index.Index{v.main}
	for _, r := range v.runs {
		if shown.has(r.number) {
			inputs = append(inputs, r.names)
		}
	}
	return inputs
}

// mostCounted is how many runs Near may have to search. It takes the square of that.
const mostCounted = 8

// Counted reports whether Before and Near can be asked: not while the list has entries
// of sources that are not shown any more, or many runs that are not merged yet.
func (v *Version) Counted() bool {
	if len(v.runs) > mostCounted {
		return false
	}
	n := 0
	for _, ix := range v.inputs(v.sources.live) {
		n += ix.Len()
	}
	return n == v.Len
}

// Before returns the number of entries whose names sort before name, without reading
// them.
func (v *Version) Before(name []byte) (n int) {
	for _, ix := range v.inputs(v.sources.live) {
		n += ix.Before(name)
	}
	return n
}

// Near returns a name with at most n entries before it, and how many they are. No more
// than a block of each index lies between it and the entry that has n before it.
func (v *Version) Near(n int) (name []byte, before int) {
	for _, ix := range v.inputs(v.sources.live) {
		start := ix.LastStart(func(name []byte) bool { return v.Before(name) <= n })
		if bytes.Compare(start, name) > 0 {
			name = start
		}
	}
	return name, v.Before(name)
}

// Next moves to the next entry of a shown source.
func (e *Entries) Next() bool {
	for e.Merger.Next() {
		if e.shown.has(e.Owner()) {
			return true
		}
	}
	return false
}

// Source returns the source of the current entry.
func (e *Entries) Source() *Source { return e.sources.all[e.Owner()] }

// Merged reports whether all entries are in the leaves of the merged list.
func (v *Version) Merged() bool { return len(v.runs) == 0 }

// Leaves returns the leaves of the merged list, with masked entries. An unchanged
// leaf keeps its pointer.
func (v *Version) Leaves() []*index.Leaf { return v.main.Leaves() }

// Sources returns the sources of the entries.
func (v *Version) Sources() *Sources { return v.sources }

// Masked differs between two Versions if a source in both merged lists is shown in
// only one of them. A rendering of a leaf is valid in another Version as long as
// Masked is the same.
func (v *Version) Masked() uint64 { return v.masked }

// Tag identifies the entries: two Versions with the same Tag, of any Listing, have
// the same entries.
func (v *Version) Tag() string { return fmt.Sprintf("%016x-%d", v.Epoch, v.Revision) }

// Precedes reports whether v comes before a revision of the same history, which
// another Listing may have reached already. A Listing with a random epoch is the
// only one of its history: nothing comes after its Version but its own.
func (v *Version) Precedes(epoch, revision uint64) bool {
	switch {
	case (epoch|v.Epoch)&lonely != 0:
		return false
	case epoch != v.Epoch:
		return epoch > v.Epoch
	}
	return revision > v.Position
}

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
