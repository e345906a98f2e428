package master

import (
	"slices"
	"sync"
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/index"
)

// Listing is the merged list of all sources' files. Writers take turns;
// readers take the current [Version], which never changes, and hold up nobody.
//
// A source's list arrives whole and is shown at once as a run of its own, at
// no cost a name. In the background runs are merged into one list, main, whose
// entries carry the number of their source, because reading one list is several
// times as fast as merging many. A change of one file is made where the
// source's names are, in its run or in main, and costs one block. A source that
// leaves is masked at once; its names in main are swept by the next merge.
type Listing struct {
	current atomic.Pointer[Version]
	changed chan struct{} // of one: a merge may be due

	mu      sync.Mutex // held to replace current, and guards what follows
	free    []uint32   // numbers that no entry in main has
	dead    int        // entries in main that are masked
	journal *journal   // what happened since the merge under way began, or nil
}

// Version is one consistent state of a Listing. It is immutable.
type Version struct {
	// Revision counts the Listing's changes.
	Revision uint64
	// Len is the number of entries.
	Len int

	main    *index.Index
	runs    []run
	sources []*source // by number, those too that are masked but still in main
	live    bitset    // the numbers of the sources that are shown
	masked  uint64    // counts how often one that is in main was taken out of live
	room    *room     // for text that is kept with main
}

// source is one whole list from one scout, later changed, and the number that
// its entries carry. A scout that sends a whole list again is a new source.
type source struct {
	number uint32
	origin files.Origin
	format sourceFormat
	len    int // entries; guarded by the Listing's mu
}

// run is the list of a source that is not merged yet.
type run struct {
	number uint32
	names  *index.Index
}

// NewListing returns an empty Listing. Its [Listing.Run] merges.
func NewListing() *Listing {
	l := &Listing{changed: make(chan struct{}, 1)}
	l.current.Store(&Version{main: new(index.Index), room: newRoom(textRoom)})
	return l
}

// Current returns the list as it is now.
func (l *Listing) Current() *Version { return l.current.Load() }

// show adds a source with its whole list and takes away old, unless that is
// nil, in the same moment.
func (l *Listing) show(origin files.Origin, set *files.Set, old *source) *source {
	s := &source{origin: origin, format: formatOf(origin), len: set.Len()}
	l.update(func(v *Version) {
		if old != nil {
			l.mask(v, old)
		}
		l.number(v, s)
		v.live = v.live.with(s.number)
		v.Len += s.len
		if s.len > 0 {
			v.runs = append(slices.Clip(v.runs), run{s.number, set.Index().Owned(s.number)})
		}
	})
	return s
}

// drop takes a source away.
func (l *Listing) drop(s *source) {
	l.update(func(v *Version) { l.mask(v, s) })
}

// change applies a delta to a source, all at once. An error says which name does not fit; then nothing has changed.
func (l *Listing) change(s *source, d files.Delta) error {
	e := edit{Removed: d.Removed.Index(), Added: d.Added.Index(), Owner: s.number}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.next()
	if err := v.apply(e); err != nil {
		return err
	}
	grown := d.Added.Len() - d.Removed.Len()
	s.len += grown
	v.Len += grown
	l.journal.note(e)
	l.publish(v)
	return nil
}

type edit = index.Edit

// update publishes the Version that f makes of the current one.
func (l *Listing) update(f func(v *Version)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.next()
	f(v)
	l.publish(v)
}

// next returns a copy of the current Version, one revision on.
func (l *Listing) next() *Version {
	v := *l.current.Load()
	v.Revision++
	return &v
}

func (l *Listing) publish(v *Version) {
	l.current.Store(v)
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// number gives a source the number that its entries will carry. The slice of
// sources is shared with older Versions: an element that one of them might
// read is never written, see [Listing.recycle].
func (l *Listing) number(v *Version, s *source) {
	if n := len(l.free); n > 0 {
		s.number, l.free = l.free[n-1], l.free[:n-1]
		v.sources[s.number] = s
		return
	}
	s.number = uint32(len(v.sources))
	v.sources = append(v.sources, s)
}

// mask takes a source out of sight. Its run is forgotten; what main has of it
// stays until it is swept.
func (l *Listing) mask(v *Version, s *source) {
	v.live = v.live.without(s.number)
	v.Len -= s.len
	if i := v.runOf(s.number); i >= 0 {
		v.runs = slices.Delete(slices.Clone(v.runs), i, i+1)
	} else {
		l.dead += s.len
		v.masked++
	}
}

// runOf returns which run is the source's, or -1 when it is in main.
func (v *Version) runOf(number uint32) int {
	return slices.IndexFunc(v.runs, func(r run) bool { return r.number == number })
}

// apply makes an edit in v, which is not published yet.
func (v *Version) apply(e edit) error {
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
	if c := v.sources[a].origin.Compare(v.sources[b].origin); c != 0 {
		return c
	}
	return int(a) - int(b)
}

// Entries reads a Version in order: by filename, then host, then directory.
//
//	for e := v.Entries(); e.Next(); {
//		use(e.Name(), e.source())
//	}
type Entries struct {
	*index.Merger
	v      *Version
	shared int
}

// Entries returns a reader before the first entry.
func (v *Version) Entries() *Entries {
	inputs := []*index.Index{v.main}
	for _, r := range v.runs {
		inputs = append(inputs, r.names)
	}
	return v.entriesOf(inputs...)
}

// entriesOf reads some of the indexes that v consists of.
func (v *Version) entriesOf(inputs ...*index.Index) *Entries {
	return &Entries{Merger: index.NewMerger(v.order, inputs...), v: v}
}

// Next moves to the next entry of a source that is shown.
func (e *Entries) Next() bool {
	for shared := maxShared; e.Merger.Next(); {
		shared = min(shared, e.Merger.Shared())
		if e.v.live.has(e.Owner()) {
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

// source returns whose the current entry is.
func (e *Entries) source() *source { return e.v.sources[e.Owner()] }
