package listing

import (
	"slices"
	"sort"
	"sync"
	"time"

	"scout/internal/index"
)

// Limits of the history. It points to immutable lists, so a scout with a million
// files that comes or goes costs no copy; but the history may be the last to hold
// its list.
const (
	historyLinger = time.Minute // time after the last reader, for readers that come back
	historyBytes  = 16 << 20    // or 1/historyShare of the list, if that is more
	historyShare  = 4
	historyCost   = 1 << 10 // counted for each part in addition to its names
)

// history has the changes of the last revisions while a reader watches. Writers hold
// the mu of the Listing and the mu of the history; readers of the parts hold only
// the latter.
type history struct {
	watchers int
	linger   *time.Timer // discards the history, unless a reader watches again

	mu    sync.RWMutex
	kept  bool   // revisions are recorded
	start uint64 // the parts are complete for the revisions after this one
	parts []part // sorted by revision
	size  int    // of all parts, in bytes
}

// part is some names of one source that were added or removed in one revision.
type part struct {
	revision uint64
	source   *Source
	names    *index.Index // nil while the names are only in main, masked
	size     int          // in bytes, an estimate while names is nil
	added    bool
}

func (p *part) lacking() bool { return p.names == nil }

// Watch records the history from now on. The caller must call the returned function
// once; the history is kept for historyLinger after that.
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
	h.linger, h.kept, h.parts, h.size = nil, false, nil, 0
}

// restart discards all revisions up to this one. The caller holds both locks.
func (h *history) restart(revision uint64) {
	h.start, h.parts, h.size = revision, nil, 0
}

// note adds the parts of v, the next Version. The caller holds both locks.
func (h *history) note(v *Version, parts []part) {
	if !h.kept {
		return
	}
	h.parts = append(h.parts, parts...)
	for i := range parts {
		h.size += historyCost + parts[i].size
	}
	h.trim(v)
}

// trim discards the oldest revisions, each as a whole, while the history is too
// large.
func (h *history) trim(v *Version) {
	n := 0
	for n < len(h.parts) && (h.size > historyBytes && h.size > v.size()/historyShare || h.parts[n].revision == h.start) {
		h.size -= historyCost + h.parts[n].size
		h.start = h.parts[n].revision
		h.parts[n] = part{}
		n++
	}
	h.parts = h.parts[n:]
}

// size returns the number of bytes that the entries occupy.
func (v *Version) size() int {
	n := v.main.Size()
	for _, r := range v.runs {
		n += r.names.Size()
	}
	return n
}

// after returns the index of the first part after a revision.
func (h *history) after(revision uint64) int {
	return sort.Search(len(h.parts), func(i int) bool { return h.parts[i].revision > revision })
}

// between returns the changes after one revision, up to another one or to the last
// revision that fits into most parts, and at least of one revision. It returns false
// if the history does not have them. Some names may not be known yet.
func (l *Listing) between(earlier, later uint64, most int) (c Changes, parts []part, ok bool) {
	h := &l.history
	h.mu.RLock()
	defer h.mu.RUnlock()
	now := l.Current()
	if !h.kept || earlier < h.start || earlier > later || later > now.Revision {
		return Changes{}, nil, false
	}
	from, to := h.after(earlier), h.after(later)
	if to-from > most {
		to = h.after(h.parts[from+most].revision - 1)
		if to == from { // one revision has more parts
			to = h.after(h.parts[from].revision)
		}
		if to < len(h.parts) && h.parts[to].revision <= later {
			later = h.parts[to-1].revision
		}
	}
	return Changes{Epoch: now.Epoch, Revision: later}, slices.Clone(h.parts[from:to]), true
}

// resolve finds the names of all sources that were masked in main. Concurrent
// callers share one scan of main.
func (l *Listing) resolve() {
	l.resolving.Lock()
	defer l.resolving.Unlock()
	if main, wanted := l.lacking(); wanted != nil {
		l.history.settle(wanted, main.Extract(func(number uint32) bool { return wanted[number] != nil }))
	}
}

// lacking returns the sources whose names the history does not know, or nil, and
// main, which still has the names: a merge calls resolve before it removes them.
func (l *Listing) lacking() (main *index.Index, wanted map[uint32]*Source) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.history.parts {
		if p := &l.history.parts[i]; p.lacking() {
			if wanted == nil {
				wanted = make(map[uint32]*Source)
			}
			wanted[p.source.number] = p.source
		}
	}
	return l.Current().main, wanted
}

// settle sets the names that were found.
func (h *history) settle(wanted map[uint32]*Source, found map[uint32]*index.Index) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.parts {
		p := &h.parts[i]
		if !p.lacking() || wanted[p.source.number] != p.source {
			continue
		}
		if names := found[p.source.number]; names != nil {
			h.size += names.Size() - p.size
			p.names, p.size = names, names.Size()
		}
	}
}
