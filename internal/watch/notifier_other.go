//go:build !linux

package watch

import (
	"hash/maphash"
	"strings"
	"sync"

	"github.com/rjeczalik/notify"
)

const (
	// eventBuffer is how many events the library may be ahead of us before it drops
	// them.
	eventBuffer = 1 << 15
	// eventSet is what a directory is watched for.
	eventSet = notify.Create | notify.Remove | notify.Rename
	// eventSelf is empty: the set above covers the directory itself.
	eventSelf = notify.Event(0)
	// eventMore makes the set of events grow, as the library sees it.
	eventMore = notify.Write
)

// instance stands for the library's one instance for the whole process.
//
// That remembers paths, not directories: to watch a path that it knows already
// does nothing, although another directory may be there now. Only when the set
// of events grows does it ask the kernel again. So a known path is watched
// once more for an event that adds nothing, through a channel that nobody
// reads, and tidy shrinks the set again by stopping that channel. The library then
// asks the kernel once more, and follows links: events in what they lead to name
// the wrong path from then on.
type instance struct {
	events chan<- notify.EventInfo
	spare  chan notify.EventInfo

	mu    sync.Mutex
	seed  maphash.Seed
	known map[uint32]struct{} // hashes of the paths that the library has seen

	growing sync.Mutex
	grown   map[string]struct{} // paths whose set of events has grown
}

func newInstance(events chan<- notify.EventInfo) *instance {
	return &instance{
		events: events,
		spare:  make(chan notify.EventInfo),
		seed:   maphash.MakeSeed(),
		known:  map[uint32]struct{}{},
		grown:  map[string]struct{}{},
	}
}

func (i *instance) watch(path string, set notify.Event) error {
	if strings.HasSuffix(path, "...") { // it would mean all below
		path += "/"
	}
	known := i.learn(path)
	if err := notify.Watch(path, i.events, set); err != nil || !known {
		return err
	}
	i.growing.Lock()
	defer i.growing.Unlock()
	if _, ok := i.grown[path]; ok {
		notify.Stop(i.spare)
	}
	i.grown[path] = struct{}{}
	return notify.Watch(path, i.spare, eventMore)
}

// learn reports whether the path was known, and makes it so. Hashes may
// collide: then a new path is treated as known, which works as well.
func (i *instance) learn(path string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	key := uint32(maphash.String(i.seed, path))
	_, ok := i.known[key]
	i.known[key] = struct{}{}
	return ok
}

// tidy returns paths at which there is a link by now.
func (i *instance) tidy() []string {
	i.growing.Lock()
	defer i.growing.Unlock()
	if len(i.grown) == 0 {
		return nil
	}
	notify.Stop(i.spare)
	var links []string
	for path := range i.grown {
		if path = strings.TrimSuffix(path, "/"); hasLink(path) {
			links = append(links, path)
		}
	}
	clear(i.grown)
	return links
}

func (i *instance) close() {
	notify.Stop(i.spare)
	notify.Stop(i.events)
}

func changeOf(e notify.EventInfo) change {
	if e.Event()&notify.Rename != 0 {
		return movedHere
	}
	return 0
}

// floodLevel is a quarter of what the library's channel holds.
func floodLevel() int { return eventBuffer / 4 }
