package listing

import (
	"crypto/rand"
	"encoding/binary"
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
	bell    bell          // rings for each revision

	mu      sync.Mutex // held to replace current, and guards what follows
	free    []uint32   // numbers that no entry in main has
	dead    int        // entries in main that are masked
	journal *journal   // what happened since the merge under way began, or nil
	history history    // what happened since somebody watches

	resolving sync.Mutex // held to find the names that the history lacks
}

// Version is one consistent state of a Listing. It is immutable.
type Version struct {
	// Epoch is a number drawn at random for each Listing, so that what a reader
	// remembers of one that is gone is not taken for this one's.
	Epoch uint64
	// Revision counts the Listing's changes.
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

// New returns an empty Listing. Its [Listing.Run] merges.
func New() *Listing {
	l := &Listing{changed: make(chan struct{}, 1)}
	l.current.Store(&Version{Epoch: newEpoch(), main: new(index.Index), sources: new(Sources)})
	return l
}

func newEpoch() uint64 {
	var p [8]byte
	rand.Read(p[:]) // never fails
	return binary.BigEndian.Uint64(p[:])
}

// Current returns the list as it is now.
func (l *Listing) Current() *Version { return l.current.Load() }

// After returns a channel that is closed once there is a later revision.
func (l *Listing) After(revision uint64) <-chan struct{} {
	later := l.bell.wait()
	if l.Current().Revision > revision {
		return closed
	}
	return later
}

// closed is a channel that is.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Show adds a source with its whole list and takes away old, unless that is
// nil, in the same moment.
func (l *Listing) Show(origin files.Origin, set *files.Set, old *Source) *Source {
	s := &Source{Origin: origin, len: set.Len()}
	l.update(func(v *Version) moment {
		m := moment{removed: v.whole(old), added: partOf(s, set.Index())}
		if old != nil {
			l.mask(v, old)
		}
		s.number = l.number(v)
		v.sources = v.sources.with(s.number, s)
		v.Len += s.len
		v.Changes += uint64(s.len)
		if s.len > 0 {
			v.runs = append(slices.Clip(v.runs), run{s.number, set.Index().Owned(s.number)})
		} else {
			l.journal.join(s.number)
		}
		return m
	})
	return s
}

// Drop takes a source away. What is done to it later is not seen.
func (l *Listing) Drop(s *Source) {
	l.update(func(v *Version) moment {
		m := moment{removed: v.whole(s)}
		l.mask(v, s)
		return m
	})
}

// Change applies a delta to a source, all at once, and returns how many entries
// the source has then. An error says which name does not fit; then nothing has
// changed.
func (l *Listing) Change(s *Source, d files.Delta) (int, error) {
	e := edit{Removed: d.Removed.Index(), Added: d.Added.Index(), Owner: s.number}
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.next()
	if err := v.apply(e); err != nil {
		return s.len, err
	}
	grown := d.Added.Len() - d.Removed.Len()
	s.len += grown
	v.Len += grown
	v.Changes += uint64(d.Added.Len() + d.Removed.Len())
	l.journal.note(e)
	l.publish(v, moment{removed: partOf(s, e.Removed), added: partOf(s, e.Added)})
	return s.len, nil
}

type edit = index.Edit

// update publishes the Version that f makes of the current one.
func (l *Listing) update(f func(v *Version) moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.next()
	m := f(v)
	l.publish(v, m)
}

// next returns a copy of the current Version, one revision on.
func (l *Listing) next() *Version {
	v := *l.current.Load()
	v.Revision++
	return &v
}

// publish makes v, which differs from the current Version by m, the current
// one.
func (l *Listing) publish(v *Version, m moment) {
	l.history.mu.Lock() // who reads of a revision finds that it is the current one
	l.history.note(v, m)
	l.current.Store(v)
	l.history.mu.Unlock()
	l.bell.ring()
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// number returns a number that no entry has.
func (l *Listing) number(v *Version) uint32 {
	n := len(l.free)
	if n == 0 {
		return uint32(v.sources.Numbers())
	}
	number := l.free[n-1]
	l.free = l.free[:n-1]
	return number
}

// mask takes a source out of sight. Its run is forgotten; what main has of it
// stays until it is swept.
func (l *Listing) mask(v *Version, s *Source) {
	v.sources = v.sources.without(s.number)
	v.Len -= s.len
	v.Changes += uint64(s.len)
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
	if c := v.sources.all[a].Origin.Compare(v.sources.all[b].Origin); c != 0 {
		return c
	}
	return int(a) - int(b)
}
