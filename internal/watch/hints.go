package watch

import (
	"strings"
	"sync"
	"time"
)

// Beyond these bounds a hint names no more than the directory, or nothing at
// all, so that a burst costs bounded memory.
const (
	maxHintedNames       = 1 << 16
	maxHintedDirectories = 1 << 14
)

// findings say where to look.
type findings struct {
	// names by directory, both relative to the watched one, and whether
	// something was moved there. No names at all mean the whole directory.
	names map[string]map[string]bool
	self  bool // the watched directory itself was moved or removed
	lost  bool // more may have happened than is said here
}

// hints gathers what notifications say until the Watcher takes it. What says
// the same twice is gathered once.
type hints struct {
	prefix string        // of the paths of everything in the watched directory
	flood  int           // so many notifications in a second, and some may be lost
	ready  chan struct{} // holds a token while there is something to take

	mu     sync.Mutex
	found  findings
	names  int       // in what was found
	second time.Time // when the count began
	count  int
}

func newHints(dir string, flood int) *hints {
	return &hints{
		prefix: strings.TrimSuffix(dir, "/") + "/",
		flood:  flood,
		ready:  make(chan struct{}, 1),
		found:  findings{names: map[string]map[string]bool{}},
	}
}

// add notes that something happened at the absolute path: that something was
// moved there, perhaps.
func (h *hints) add(path string, moved bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tally()
	switch rel, ok := strings.CutPrefix(path, h.prefix); {
	case ok && rel != "":
		h.note(rel, moved)
	case path+"/" == h.prefix || path == h.prefix:
		h.found.self = true
	default:
		return // from a directory that was moved out of the tree
	}
	h.wake()
}

// lose notes that notifications may have been lost.
func (h *hints) lose() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.found.lost = true
	h.wake()
}

// take returns what was gathered.
func (h *hints) take() findings {
	h.mu.Lock()
	defer h.mu.Unlock()
	f := h.found
	h.found, h.names = findings{names: map[string]map[string]bool{}}, 0
	return f
}

// tally counts notifications by the second. A queue that overflowed, the
// kernel's or the library's, is a queue that was full: what it held arrives all
// at once when it is read.
func (h *hints) tally() {
	if now := time.Now(); now.Sub(h.second) >= time.Second {
		h.second, h.count = now, 0
	}
	if h.count++; h.count >= h.flood {
		h.found.lost = true
	}
}

func (h *hints) note(rel string, moved bool) {
	dir, name := "", rel
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		dir, name = rel[:i], rel[i+1:]
	}
	names, ok := h.found.names[dir]
	full := h.names >= maxHintedNames
	switch {
	case !ok && len(h.found.names) >= maxHintedDirectories:
		h.found.lost = true
	case !ok && full, ok && full && len(names) > 0:
		h.found.names[dir] = nil
		h.names -= len(names)
	case !ok:
		h.found.names[dir] = map[string]bool{name: moved}
		h.names++
	case len(names) > 0: // or it is the whole directory already
		before := len(names)
		names[name] = names[name] || moved
		h.names += len(names) - before
	}
}

func (h *hints) wake() {
	select {
	case h.ready <- struct{}{}:
	default:
	}
}
