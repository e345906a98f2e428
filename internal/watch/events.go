package watch

import (
	"strings"
	"sync"
	"time"

	"scout/internal/wake"
)

// Beyond these bounds the events of a tree name no more than the directory, or
// nothing at all, so that a burst costs bounded memory.
const (
	maxEventNames       = 1 << 16
	maxEventDirectories = 1 << 14
)

// change is what events have told of one name.
type change uint8

const (
	movedHere change = 1 << iota // something was moved to the name

)

// findings say where to look.
type findings struct {
	// names by directory, both relative to the tree. No names at all mean the
	// whole directory.
	names map[string]map[string]change
	self  bool // the tree's own directory was moved or deleted
	stale bool // watches may tell of paths that are not there any more
	lost  bool // more may have happened than is said here
}

// events gathers what notifications tell of one tree until the tree takes it.
// What is told twice is gathered once.
type events struct {
	prefix string      // of the absolute paths of everything in the tree
	ready  wake.Signal // set while there is something to take

	mu    sync.Mutex
	found findings
	names int // in what was found
}

func newEvents(dir string) *events {
	return &events{
		prefix: strings.TrimSuffix(dir, "/") + "/",
		ready:  wake.NewSignal(),
		found:  findings{names: map[string]map[string]change{}},
	}
}

// add notes that something happened at the absolute path, and reports whether
// that is in the tree.
func (e *events) add(path string, c change) bool {
	rel, ok := strings.CutPrefix(path, e.prefix)
	self := path+"/" == e.prefix || path == e.prefix
	if !self && (!ok || rel == "") {
		return false
	}
	e.mu.Lock()
	if self {
		e.found.self = true
	} else {
		e.note(rel, c)
	}
	e.mu.Unlock()
	e.ready.Set()
	return true
}

// lose notes that events may have been lost.
func (e *events) lose() { e.tell(func(f *findings) { f.lost = true }) }

// misname notes that watches may tell of paths that are not there any more.
func (e *events) misname() { e.tell(func(f *findings) { f.stale = true }) }

func (e *events) tell(note func(*findings)) {
	e.mu.Lock()
	note(&e.found)
	e.mu.Unlock()
	e.ready.Set()
}

// take returns what was gathered.
func (e *events) take() findings {
	e.mu.Lock()
	defer e.mu.Unlock()
	f := e.found
	e.found, e.names = findings{names: map[string]map[string]change{}}, 0
	return f
}

func (e *events) note(rel string, c change) {
	dir, name := split(rel)
	names, ok := e.found.names[dir]
	full := e.names >= maxEventNames
	switch {
	case !ok && len(e.found.names) >= maxEventDirectories:
		e.found.lost = true
	case !ok && full, ok && full && len(names) > 0:
		e.found.names[dir] = nil
		e.names -= len(names)
	case !ok:
		e.found.names[dir] = map[string]change{name: c}
		e.names++
	case len(names) > 0: // or it is the whole directory already
		before := len(names)
		names[name] |= c
		e.names += len(names) - before
	}
}

// router hands each event to the tree that it is about.
type router struct {
	flood int // so many events in a second, and some may be lost

	mu     sync.Mutex
	routes []route // of nested trees the inner one comes first
}

// route leads to one tree.
type route struct {
	events *events
	// aliases are the trees that show the same directories elsewhere: an event is
	// told under one of the paths only.
	aliases []alias
}

// alias replaces the beginning of a path.
type alias struct {
	from, to string // absolute, without a slash at the end
	events   *events
}

func newRouter(flood int) *router { return &router{flood: flood} }

// set replaces the routes.
func (r *router) set(routes []route) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.routes = routes
}

// add passes on that something happened at the absolute path, and reports whether
// that is in a tree.
func (r *router) add(path string, c change) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, to := range r.routes {
		if !to.events.add(path, c) {
			continue
		}
		for _, a := range to.aliases {
			if isWithin(path, a.from) {
				a.events.add(a.to+path[len(a.from):], c)
			}
		}
		return true
	}
	return false
}

// lose tells all trees that events may have been lost.
func (r *router) lose() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, to := range r.routes {
		to.events.lose()
	}
}

// tally counts the events of one queue by the second. A queue that overflowed,
// the kernel's or the library's, is a queue that was full: what it held arrives
// all at once when it is read.
type tally struct {
	flood  int // so many events in a second, and some may be lost
	second time.Time
	count  int // of events since then
}

// add counts an event and reports whether events may have been lost.
func (t *tally) add() bool {
	if now := time.Now(); now.Sub(t.second) >= time.Second {
		t.second, t.count = now, 0
	}
	t.count++
	return t.count >= t.flood
}
