package watch

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	_ "unsafe" // for go:linkname

	"github.com/rjeczalik/notify"
)

const (
	// eventBuffer is how many events the library may be ahead of us before it leaves
	// more to the kernel.
	eventBuffer = 1 << 12
	// eventSet is what a directory is watched for: the coming and going of entries.
	eventSet = notify.InCreate | notify.InDelete | notify.InMovedFrom | notify.InMovedTo
	// eventSelf is what the watched directory itself is watched for besides; what
	// becomes of others their parents tell.
	eventSelf = notify.InDeleteSelf | notify.InMoveSelf
)

// instance is one instance of the library's watcher, which is what it has for
// inotify.
//
// The functions that the library exports use one instance for the whole process,
// which cannot be closed, and put a tree of all paths above it, which forgets
// nothing, does not watch a path again that it has watched before, and examines each
// part of each path. The constructor of the watcher is not exported, so it is
// linked by name. Its name and type are those of version 0.9.3; TestInstances fails
// if they change.
//
// The watcher follows links: see [tree.watch].
type instance struct {
	watcher libraryWatcher

	starting sync.Mutex
	started  atomic.Bool // the watcher has its descriptors
}

// libraryWatcher is the library's interface of that kind.
type libraryWatcher interface {
	Watch(path string, event notify.Event) error
	Unwatch(path string) error
	Rewatch(path string, old, now notify.Event) error
	Close() error
}

//go:linkname newWatcher github.com/rjeczalik/notify.newWatcher
func newWatcher(c chan<- notify.EventInfo) libraryWatcher

func newInstance(events chan<- notify.EventInfo) *instance {
	return &instance{watcher: newWatcher(events)}
}

func (i *instance) watch(path string, set notify.Event) error {
	if err := i.start(); err != nil {
		return err
	}
	return i.watcher.Watch(path, set)
}

// start has the watcher open its descriptors, which it does at its first watch, and not
// safely if several mounts ask for that at once. That watch is of no path: it fails after
// that, and waits for no disk.
func (i *instance) start() error {
	if i.started.Load() {
		return nil
	}
	i.starting.Lock()
	defer i.starting.Unlock()
	if i.started.Load() {
		return nil
	}
	err := i.watcher.Watch("", eventSet)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	i.started.Store(true)
	return nil
}

func (i *instance) tidy() []string { return nil }

// close ends all watches. Somebody must read the events until it returns.
func (i *instance) close() { _ = i.watcher.Close() }

func changeOf(e notify.EventInfo) change {
	if e.Event()&notify.InMovedTo != 0 {
		return movedHere
	}
	return 0
}

// floodLevel is a quarter of what the kernel's queue holds.
func floodLevel() int {
	const usual = 16384
	b, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		return usual / 4
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		n = usual
	}
	return max(1, n/4)
}
