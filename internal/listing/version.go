package listing

import (
	"fmt"

	"scout/internal/files"
	"scout/internal/index"
)

// Entries reads a Version in order: by filename, then host, then directory.
//
//	for e := v.Entries(); e.Next(); {
//		use(e.Name(), e.Source())
//	}
type Entries struct {
	*index.Merger
	sources *Sources
	shown   bitset // the numbers of the sources whose entries are read
	shared  int
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
	for shared := maxShared; e.Merger.Next(); {
		shared = min(shared, e.Merger.Shared())
		if e.shown.has(e.Owner()) {
			e.shared = shared
			return true
		}
	}
	return false
}

const maxShared = int(^uint(0) >> 1)

// Shared returns how many bytes the current name is known to have in common
// with the last one that Next stopped at.
func (e *Entries) Shared() int { return e.shared }

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
