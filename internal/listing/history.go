package listing

import (
	"slices"
	"sync"
	"time"

	"scout/internal/index"
)

// How much history is kept. It is held by pointer to lists that never change,
// so a scout with a million files that comes or goes costs no copies, but the
// history may be the last to hold them.
const (
	historyLinger = time.Minute // without a watcher, for those that come back
	historyBytes  = 16 << 20    // or one byte in historyShare of the list, where that is more
	historyShare  = 4
	historyCost   = 1 << 10 // counted for each revision, beside its names
)

// history is what each of the last revisions changed, kept while somebody
// watches. Those who change it hold the Listing's mu; those who only read what
// is noted need no more than the history's own.
type history struct {
	watchers int
	linger   *time.Timer // will forget, unless somebody watches again

	mu      sync.RWMutex
	kept    bool     // revisions are noted
	start   uint64   // the revision before that of the first entry
	entries []moment // one for each revision after start
	size    int      // of all entries, in bytes
	lacking []uint64 // the revisions that have removed names that are still to be found
}

// moment is what one revision changed.
type moment struct{ removed, added part }

func (m *moment) size() int { return historyCost + m.removed.size + m.added.size }

// part is some names of one source.
type part struct {
	source *Source      // nil when there are no names
	names  *index.Index // nil while they are only in main, masked
	size   int          // in bytes, an estimate while names is nil
}

func partOf(s *Source, names *index.Index) part {
	if names.Len() == 0 {
		return part{}
	}
	return part{source: s, names: names, size: names.Size()}
}

func (p *part) lacking() bool { return p.source != nil && p.names == nil }

// whole is all that v shows of a source.
func (v *Version) whole(s *Source) part {
	if s == nil || s.len == 0 || !v.sources.live.has(s.number) {
		return part{}
	}
	if i := v.runOf(s.number); i >= 0 {
		return partOf(s, v.runs[i].names)
	}
	return part{source: s, size: s.len * v.main.Size() / v.main.Len()}
}

// Watch has the history kept from now on, until the function that it returns is
// called, which must be once, and for a while after.
func (l *Listing) Watch() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &l.history
	h.watchers++
	if h.linger != nil {
		h.linger.Stop()
		h.linger = nil
	}
	if !h.kept {
		h.begin(l.Current().Revision)
	}
	return l.endWatch
}

func (l *Listing) endWatch() {
	l.mu.Lock()
	defer l.mu.Unlock()
	h := &l.history
	if h.watchers--; h.watchers > 0 {
		return
	}
	var linger *time.Timer
	linger = time.AfterFunc(historyLinger, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if h.linger == linger {
			h.forget()
		}
	})
	h.linger = linger
}

func (h *history) begin(revision uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept, h.start = true, revision
}

func (h *history) forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.linger, h.kept, h.entries, h.size, h.lacking = nil, false, nil, 0, nil
}

// note adds what v, the next Version, changes. Whoever calls holds mu.
func (h *history) note(v *Version, m moment) {
	if !h.kept {
		return
	}
	h.entries = append(h.entries, m)
	h.size += m.size()
	if m.removed.lacking() {
		h.lacking = append(h.lacking, v.Revision)
	}
	h.trim(v)
}

// trim forgets the oldest revisions while there is too much.
func (h *history) trim(v *Version) {
	n := 0
	for h.size > historyBytes && h.size > v.size()/historyShare {
		h.size -= h.entries[n].size()
		h.entries[n] = moment{}
		n++
	}
	h.entries = h.entries[n:]
	h.start += uint64(n)
}

// size returns how many bytes the entries occupy.
func (v *Version) size() int {
	n := v.main.Size()
	for _, r := range v.runs {
		n += r.names.Size()
	}
	return n
}

// at returns what a revision changed, or nil when that is not known.
func (h *history) at(revision uint64) *moment {
	i := revision - h.start - 1 // wraps around for those before
	if i >= uint64(len(h.entries)) {
		return nil
	}
	return &h.entries[i]
}

// since returns what the next revisions after one changed, at most so many. It
// is not ok when that is not known. Names may be lacking.
func (h *history) since(revision uint64, most int) (moments []moment, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if !h.kept || revision < h.start || revision > h.start+uint64(len(h.entries)) {
		return nil, false
	}
	after := h.entries[revision-h.start:]
	return slices.Clone(after[:min(most, len(after))]), true
}

// resolve finds the names of all sources that were taken out of sight while
// they were in main, in one scan of it, however many ask at once.
func (l *Listing) resolve() {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	if main, wanted := l.lacking(); wanted != nil {
		l.history.settle(main.Extract(wanted.has))
	}
}

// lacking returns the numbers of those sources, nil for none, and where their
// names are: they are there still, for a merge resolves before it sweeps.
func (l *Listing) lacking() (main *index.Index, wanted bitset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, revision := range l.history.lacking {
		if m := l.history.at(revision); m != nil {
			wanted = wanted.with(m.removed.source.number)
		}
	}
	return l.Current().main, wanted
}

// settle puts the names that were found in their places.
func (h *history) settle(found map[uint32]*index.Index) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lacking = slices.DeleteFunc(h.lacking, func(revision uint64) bool {
		m := h.at(revision)
		if m == nil {
			return true
		}
		names := found[m.removed.source.number]
		if names == nil {
			return false
		}
		h.size -= m.size()
		m.removed = partOf(m.removed.source, names)
		h.size += m.size()
		return true
	})
}
