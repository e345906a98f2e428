package watch

import (
	"hash/maphash"
	"slices"
	"strings"
	"sync"

	"github.com/rjeczalik/notify"
)

// notifier asks for hints. It is not asked to be right: see [hints].
type notifier interface {
	// watch has hints given of what happens to the entries of the directory
	// that is at the absolute path now, whatever was there before. It may be
	// called by several goroutines at once.
	watch(path string) error
	// tidy is called when directories were watched, and no more are for now. It
	// returns paths at which there is a link by now: what they lead to may have
	// lost its watch.
	tidy() []string
	close()
}

const (
	// eventBuffer is how many notifications the library may be ahead of us
	// before it drops them.
	eventBuffer = 1 << 15
	// stopLimit is up to how many watches are taken back one by one in the end:
	// it takes the library time quadratic in their number, and the end of the
	// process takes them all back.
	stopLimit = 1000
)

// library is rjeczalik/notify with one watch for each directory.
//
// It remembers paths, not directories: to watch a path that it knows already
// does nothing, although another directory may be there now. Only when the set
// of events grows does it ask the kernel again. So a known path is watched
// once more for an event that adds nothing, through a channel that nobody
// reads, and tidy shrinks the set again by stopping that channel. The library
// then asks the kernel once more, and follows links: events in what they
// lead to name the wrong path from then on.
//
// Nor does it ever forget a path: each path that a directory ever had takes some
// 600 bytes until the process ends, and a directory that was moved out of the tree
// keeps its watch. To stop a channel gives watches back, but channels that were
// shared by groups of directories lost events under load.
type library struct {
	router *router
	dir    string // the watched directory, with a slash
	events chan notify.EventInfo
	spare  chan notify.EventInfo
	done   chan struct{}
	ended  sync.WaitGroup

	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint32]struct{} // hashes of the paths that the library has seen
	grown map[string]struct{} // paths whose set of events has grown
}

func newLibrary(r *router, dir string) *library {
	l := &library{
		router: r,
		dir:    strings.TrimSuffix(dir, "/") + "/",
		events: make(chan notify.EventInfo, eventBuffer),
		spare:  make(chan notify.EventInfo),
		done:   make(chan struct{}),
		seed:   maphash.MakeSeed(),
		known:  map[uint32]struct{}{},
		grown:  map[string]struct{}{},
	}
	l.ended.Go(l.drain)
	return l
}

func (l *library) watch(path string) error {
	if strings.HasSuffix(path, "...") { // it would mean all below
		path += "/"
	}
	if l.learn(path) {
		return l.renew(path)
	}
	return notify.Watch(path, l.events, l.eventsOf(path)...)
}

func (l *library) eventsOf(path string) []notify.Event {
	if path == l.dir || path+"/" == l.dir {
		return slices.Concat(eventSet, eventSelf)
	}
	return eventSet
}

// learn reports whether the path was known, and makes it so. Hashes may
// collide: then a new path is treated as known, which works as well.
func (l *library) learn(path string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := uint32(maphash.String(l.seed, path))
	_, ok := l.known[key]
	l.known[key] = struct{}{}
	return ok
}

// renew watches what is at a path that the library may know.
func (l *library) renew(path string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := notify.Watch(path, l.events, l.eventsOf(path)...); err != nil {
		return err
	}
	if _, ok := l.grown[path]; ok {
		notify.Stop(l.spare)
	}
	l.grown[path] = struct{}{}
	return notify.Watch(path, l.spare, eventMore)
}

func (l *library) tidy() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.grown) == 0 {
		return nil
	}
	notify.Stop(l.spare)
	var links []string
	for path := range l.grown {
		if path = strings.TrimSuffix(path, "/"); hasLink(path) {
			links = append(links, path)
		}
	}
	clear(l.grown)
	return links
}

func (l *library) close() {
	l.mu.Lock() // a tree whose disk hangs may still be at work
	few := len(l.known) <= stopLimit
	l.mu.Unlock()
	if few {
		notify.Stop(l.spare)
		notify.Stop(l.events)
	}
	close(l.done)
	l.ended.Wait()
}

// drain turns notifications into hints at once, so that the library's channel,
// whose overflow it does not tell, stays empty.
func (l *library) drain() {
	var last notify.EventInfo
	for {
		select {
		case <-l.done:
			return
		case e := <-l.events:
			if len(l.events) >= cap(l.events)-1 {
				l.router.lose()
			}
			if e != last { // one about a watched directory comes twice
				l.router.add(e.Path(), changeOf(e))
			}
			last = e
		}
	}
}

func changeOf(e notify.EventInfo) change {
	if e.Event()&eventMoved != 0 {
		return movedHere
	}
	return 0
}
