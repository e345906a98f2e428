package watch

import (
	"errors"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rjeczalik/notify"
)

// notifier tells events. It is not asked to be right: see [events].
//
// Its watches belong to a generation. While a new generation is built, the
// current one stays in use. Any goroutine may use it.
type notifier interface {
	// watch watches the entries of the directory that is at the absolute path now,
	// whatever was there before, in the current generation.
	watch(path string) error
	// renew watches likewise in the generation of that number, or returns errBuilt if
	// it is not being built any more.
	renew(path string, number uint32) error
	// tidy is called when directories were watched, and no more are for now. It
	// returns paths at which there is a link by now: what they lead to may have
	// lost its watch.
	tidy() []string
	// left is called when a watched directory has left the tree.
	left()
	// generations returns the numbers of the current generation and of the newest
	// one, which is being built if it is another one.
	generations() (current, newest uint32)
	// due reports whether it is time for a new generation, which is to have that many
	// watches.
	due(watches int) bool
	// begin begins a new generation.
	begin()
	// finish makes the newest generation the current one, and ends the one before.
	finish()
	close()
}

// Watches are renewed when directories have left, within a share of one core:
// the larger share if what the directories have left behind is more than a part
// of all, if a limit of the system keeps others from being watched, or if events
// were lost, which what happens in directories that have left may be the cause of.
const (
	renewShare = 0.01
	hasteShare = 0.1
	hastePart  = 5
	// renewCost is what it takes to renew all watches besides the time for each.
	renewCost = 10 * time.Millisecond
	// renewEach is the time for each, as long as none was measured.
	renewEach = 40 * time.Microsecond
)

var (
	errClosed = errors.New("the notifier is closed")
	errBuilt  = errors.New("the generation is not being built")
)

// library makes use of rjeczalik/notify, with one watch for each directory.
//
// The library never forgets a path, and keeps the watch of a directory that was
// moved out of the tree. It can end the watch of a path, but cannot tell two
// directories apart that had the same path, takes time in proportion to all
// watches for each one, and loses the events that were not read yet. So all
// watches are set once more in another instance of the library, each followed by
// a look as after a first scan, and then the old instance is closed, with all it
// has.
type library struct {
	router *router
	dir    string // the watched directory

	gone   atomic.Int64 // directories that have left since the newest generation began
	urgent atomic.Bool  // a limit of the system has kept a directory from being watched, or events were lost
	spent  atomic.Int64 // nanoseconds that building the next generation has taken

	mu      sync.Mutex // guards what follows, and is held for moments only
	current *generation
	next    *generation // nil: none is being built
	number  uint32      // of the current one
	closed  bool
	ending  chan struct{} // closed when the generation before has ended; nil: there was none
	ended   time.Time     // when the last generation was finished
	cost    time.Duration // what that took; 0: not known
	size    int           // how many watches it was to have
}

func newLibrary(r *router, dir string) *library {
	return &library{router: r, dir: dir, number: 1, ended: time.Now()}
}

func (l *library) watch(path string) error {
	g := l.use(l.first)
	if g == nil {
		return errClosed
	}
	defer g.users.Done()
	err := g.watch(path)
	if isLimit(err) {
		if l.awaitRoom() {
			err = g.watch(path)
		}
		l.urgent.Store(l.urgent.Load() || isLimit(err))
	}
	return err
}

// awaitRoom waits for the end of the generation before, which may hold what is
// missing. It reports whether there was one.
func (l *library) awaitRoom() bool {
	l.mu.Lock()
	ending := l.ending
	l.mu.Unlock()
	if ending == nil {
		return false
	}
	select {
	case <-ending:
	case <-time.After(endGrace):
	}
	return true
}

func (l *library) renew(path string, number uint32) error {
	g := l.use(func() *generation {
		if l.number+1 != number {
			return nil
		}
		return l.next
	})
	if g == nil {
		return errBuilt
	}
	defer g.users.Done()
	began := time.Now()
	err := g.watch(path)
	l.spent.Add(int64(time.Since(began)))
	return err
}

func (l *library) tidy() (links []string) {
	for _, pick := range []func() *generation{
		func() *generation { return l.current },
		func() *generation { return l.next },
	} {
		if g := l.use(pick); g != nil {
			links = append(links, g.instance.tidy()...)
			g.users.Done()
		}
	}
	return links
}

// use returns a generation, if there is one, which is not closed until the caller
// is done with it.
func (l *library) use(pick func() *generation) *generation {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := pick()
	if g == nil || l.closed {
		return nil
	}
	g.users.Add(1)
	return g
}

// first returns the current generation. Nothing is made of a library that is not
// used.
func (l *library) first() *generation {
	if l.current == nil && !l.closed {
		l.current = newGeneration(l.router, l.dir, &l.urgent)
	}
	return l.current
}

func (l *library) left() { l.gone.Add(1) }

func (l *library) generations() (current, newest uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next != nil {
		return l.number, l.number + 1
	}
	return l.number, l.number
}

func (l *library) due(watches int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.size = watches
	gone := l.gone.Load()
	if gone == 0 || l.current == nil || l.next != nil || l.closed {
		return false
	}
	cost := l.cost
	if cost == 0 {
		cost = renewEach * time.Duration(watches)
	}
	share := renewShare
	if l.urgent.Load() || gone*hastePart >= int64(watches) {
		share = hasteShare
	}
	return time.Since(l.ended) >= time.Duration(float64(cost+renewCost)/share)
}

func (l *library) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed && l.next == nil {
		l.next = newGeneration(l.router, l.dir, &l.urgent)
		l.gone.Store(0)
		l.spent.Store(0)
	}
}

func (l *library) finish() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next == nil {
		return
	}
	l.ending = make(chan struct{})
	go func(g *generation, ended chan struct{}, large bool) { // it may be in use, and its watches many
		defer close(ended)
		g.close()
		if large {
			debug.FreeOSMemory()
		}
	}(l.current, l.ending, l.size >= largeTree)
	l.current, l.next = l.next, nil
	l.number++
	l.ended, l.cost = time.Now(), time.Duration(l.spent.Load())
	l.urgent.Store(false)
}

func (l *library) close() {
	l.mu.Lock()
	l.closed = true
	open, ending := []*generation{l.current, l.next}, l.ending
	l.mu.Unlock()
	for _, g := range open {
		if g != nil {
			g.close()
		}
	}
	if ending != nil {
		<-ending
	}
}

// generation is an instance of the library, and what it tells.
type generation struct {
	router   *router
	dir      string       // the watched directory
	urgent   *atomic.Bool // see library
	instance *instance
	events   chan notify.EventInfo
	done     chan struct{}
	ended    sync.WaitGroup
	users    sync.WaitGroup // calls under way
}

func newGeneration(r *router, dir string, urgent *atomic.Bool) *generation {
	events := make(chan notify.EventInfo, eventBuffer)
	g := &generation{router: r, dir: dir, urgent: urgent, instance: newInstance(events), events: events, done: make(chan struct{})}
	g.ended.Go(g.drain)
	return g
}

func (g *generation) watch(path string) error {
	set := eventSet
	if path == g.dir {
		set |= eventSelf
	}
	return g.instance.watch(path, set)
}

// close waits for the calls under way, and ends all watches.
func (g *generation) close() {
	g.users.Wait()
	g.instance.close()
	close(g.done)
	g.ended.Wait()
}

// drain passes events on at once, so that the library's queue, whose overflow it
// does not tell, stays empty.
func (g *generation) drain() {
	var last notify.EventInfo
	tally := tally{flood: g.router.flood}
	for {
		select {
		case <-g.done:
			return
		case e := <-g.events:
			flood := len(g.events) >= cap(g.events)-1
			if e != last { // one about a watched directory comes twice
				flood = g.router.add(e.Path(), changeOf(e)) && tally.add() || flood
			}
			if flood {
				g.urgent.Store(true)
				g.router.lose()
			}
			last = e
		}
	}
}
