package watch

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rjeczalik/notify"

	"scout/internal/throttle"
)

// notifier asks for events. It is not asked to be right: see [events].
type notifier interface {
	// watch has events told of what happens to the entries of the directory that
	// is at the absolute path now, whatever was there before. It returns the group
	// that the watch belongs to. Any goroutine may call it.
	watch(path string) (group uint32, err error)
	// leave is called when a directory whose watch is in the group has left the
	// tree, or is to be watched anew.
	leave(group uint32)
	// collect ends the watches of some groups that directories have left. It
	// returns those that had other directories too, which are not watched any more.
	collect() (ended []uint32)
	// tidy is called when directories were watched, and no more are for now. It
	// returns paths at which there is a link by now: what they lead to may have
	// lost its watch.
	tidy() []string
	close()
}

const (
	// eventBuffer is how many events the library may be ahead of us before it
	// drops them.
	eventBuffer = 1 << 15
	// stopLimit is up to how many watches are taken back one by one in the end:
	// it takes the library time quadratic in their number, and the end of the
	// process takes them all back.
	stopLimit = 1000
	// groupSize is how many watches share a channel: see library. A channel for
	// each would be a tenth of a scout's memory.
	groupSize = 16
	// collectShare is the share of one core that may go into ending watches when
	// directories leave, and collectCredit for how long it may go on at first.
	collectShare  = 0.1
	collectCredit = time.Second
)

// library is rjeczalik/notify with one watch for each directory.
//
// It takes watches back by the channel that they were set for, and it takes a
// look at all its watches for that. So a few directories share a channel that
// nobody reads, a group, and what happens in them arrives through the watch of
// the watched directory itself: that has the library's mark of a recursive
// watch, by which it is told of everything below.
//
// The library remembers paths, not directories: to watch a path that it knows
// already does nothing, although another directory may be there now. Only when
// the set of events grows does it ask the kernel again. So a known path is
// watched once more for an event that adds nothing, through a channel that
// nobody reads, and tidy shrinks the set again by stopping that channel. The
// library then asks the kernel once more, and follows links: events in what they
// lead to name the wrong path from then on.
//
// Nor does it ever forget a path: each path that a directory ever had takes some
// 600 bytes until the process ends.
type library struct {
	router *router
	dir    string // the watched directory
	events chan notify.EventInfo
	spare  chan notify.EventInfo
	done   chan struct{}
	ended  sync.WaitGroup

	growing sync.Mutex
	grown   map[string]struct{} // paths whose set of events has grown

	mu     sync.Mutex
	rooted bool // the watched directory itself is watched
	seed   maphash.Seed
	known  map[uint32]struct{} // hashes of the paths that the library has seen
	groups map[uint32]*group
	open   uint32   // the newest group
	left   []uint32 // groups that directories have left
	budget *throttle.Budget
}

// group is some watches that end together.
type group struct {
	channel chan notify.EventInfo
	members int  // directories that are still watched
	pending int  // of which so many are to be
	left    bool // others are not watched any more
}

func newLibrary(r *router, dir string) *library {
	l := &library{
		router: r,
		dir:    dir,
		events: make(chan notify.EventInfo, eventBuffer),
		spare:  make(chan notify.EventInfo),
		done:   make(chan struct{}),
		seed:   maphash.MakeSeed(),
		known:  map[uint32]struct{}{},
		grown:  map[string]struct{}{},
		groups: map[uint32]*group{},
		budget: throttle.NewBudget(collectShare, collectCredit),
	}
	l.ended.Go(l.drain)
	return l
}

func (l *library) watch(path string) (uint32, error) {
	if err := l.watchRoot(path == l.dir); err != nil || path == l.dir {
		return 0, err
	}
	id, g := l.join()
	err := l.watchFor(path, g.channel, eventSet)
	l.mu.Lock()
	defer l.mu.Unlock()
	g.pending--
	if err != nil {
		g.members--
	}
	return id, err
}

// watchRoot watches the watched directory itself, without which no event of any
// other would arrive.
func (l *library) watchRoot(anew bool) error {
	l.mu.Lock()
	rooted := l.rooted
	l.mu.Unlock()
	if rooted && !anew {
		return nil
	}
	err := l.watchFor(l.dir, l.events, slices.Concat(eventSet, eventSelf))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rooted = l.rooted || err == nil
	return err
}

// watchFor watches what is at a path that the library may know. It looks at the
// path, which may hang, so it holds no lock that others need.
func (l *library) watchFor(path string, c chan notify.EventInfo, set []notify.Event) error {
	if strings.HasSuffix(path, "...") { // it would mean all below
		path += "/"
	}
	known := l.learn(path)
	if err := notify.Watch(path, c, set...); err != nil || !known {
		return err
	}
	l.growing.Lock()
	defer l.growing.Unlock()
	if _, ok := l.grown[path]; ok {
		notify.Stop(l.spare)
	}
	l.grown[path] = struct{}{}
	return notify.Watch(path, l.spare, eventMore)
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

// join takes a place in the group that takes the next watch.
func (l *library) join() (uint32, *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[l.open]
	if g == nil || g.members >= groupSize || g.left {
		l.open++
		g = &group{channel: groupChannel(l.events)}
		l.groups[l.open] = g
	}
	g.members++
	g.pending++
	return l.open, g
}

func (l *library) leave(id uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.groups[id]
	if g == nil {
		return
	}
	g.members--
	if !g.left {
		g.left = true
		l.left = append(l.left, id)
	}
}

func (l *library) collect() (ended []uint32) {
	for {
		g, id := l.nextLeft()
		if g == nil {
			return ended
		}
		began := time.Now()
		if g.channel != l.events {
			notify.Stop(g.channel)
		}
		l.mu.Lock()
		if g.members > 0 {
			ended = append(ended, id)
		}
		l.budget.Spend(time.Since(began))
		l.mu.Unlock()
	}
}

// nextLeft removes and returns a group that directories have left, if the budget
// allows.
func (l *library) nextLeft() (*group, uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.left) == 0 || l.budget.Credit() <= 0 {
		return nil, 0
	}
	at := l.cheapest()
	id := l.left[at]
	g := l.groups[id]
	if g.pending > 0 {
		return nil, 0
	}
	l.left = slices.Delete(l.left, at, at+1)
	delete(l.groups, id)
	return g, id
}

// cheapest returns the place among the groups left of one that all have left, if
// there is one among the first: nothing of it has to be watched anew.
func (l *library) cheapest() int {
	for i, id := range l.left[:min(len(l.left), groupSize)] {
		if g := l.groups[id]; g.members == 0 {
			return i
		}
	}
	return 0
}

func (l *library) tidy() (links []string) {
	l.growing.Lock()
	var paths []string
	if len(l.grown) > 0 {
		notify.Stop(l.spare)
		paths = slices.Collect(maps.Keys(l.grown))
		clear(l.grown)
	}
	l.growing.Unlock()
	for _, path := range paths {
		if path = strings.TrimSuffix(path, "/"); hasLink(path) {
			links = append(links, path)
		}
	}
	return links
}

func (l *library) close() {
	if len(l.known) <= stopLimit {
		notify.Stop(l.spare)
		for _, g := range l.groups {
			notify.Stop(g.channel)
		}
		notify.Stop(l.events)
	}
	close(l.done)
	l.ended.Wait()
}

// drain passes events on at once, so that the library's channel, whose overflow
// it does not tell, stays empty.
func (l *library) drain() {
	for {
		select {
		case <-l.done:
			return
		case e := <-l.events:
			if len(l.events) >= cap(l.events)-1 {
				l.router.lose()
			}
			l.router.add(e.Path(), changeOf(e))
		}
	}
}

func changeOf(e notify.EventInfo) change {
	if e.Event()&eventMoved != 0 {
		return movedHere
	}
	return 0
}
