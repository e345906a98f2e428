package watch

import (
	"errors"
	"runtime/debug"
	"time"
)

const (
	// watchSlice is for how long watches are set before events are followed.
	watchSlice = 5 * time.Millisecond
	// largeTree is from how many directories on the scratch memory of a scan is
	// given back to the system at once.
	largeTree = 4096
)

// watching is what a tree knows of its watches.
type watching struct {
	unwatched []*directory        // are to be watched
	strayed   map[uint64]struct{} // identities of watched directories that left the tree: their watches may name another path
	deepest   string              // see pathToKeep
	relieved  bool                // see relieve

	// While the notifier builds a new generation, every directory that is watched
	// in the current one is watched in the new one too.
	generation uint32       // the newest that the tree has followed
	renewing   bool         // it is being built
	renewal    []*directory // are still to be watched in it, parents first
}

// startWatching is called when the tree has been listed, and nothing is watched.
func (t *tree) startWatching() {
	if t.notifier != nil {
		t.generation, _ = t.notifier.generations()
		t.following.Store(true)
	}
}

// followGenerations takes part in the building of a new generation. Whatever is
// not in it when it becomes the current one is not watched any more.
func (t *tree) followGenerations() {
	if t.notifier == nil {
		return
	}
	current, newest := t.notifier.generations()
	switch {
	case t.generation < current: // the tree has been in a call all the time
		t.lapse(t.directories(func(*directory) bool { return true }))
	case t.generation == current && len(t.renewal) > 0:
		t.lapse(t.renewal)
	}
	if t.generation <= current {
		t.renewal = nil
	}
	if t.renewing = newest > current; t.renewing && t.generation < newest {
		t.renewal = t.directories(func(d *directory) bool { return d.watched })
	}
	t.generation = newest
	if t.renewing && len(t.renewal) == 0 && t.renewed.Swap(newest) != newest {
		t.forest.answered.Set()
	}
}

// lapse notes that the watches of some directories have ended. Whatever happens
// in a directory while the next one is watched is told by its own watch only if
// parents are watched first.
func (t *tree) lapse(ended []*directory) {
	for _, d := range ended {
		if !d.detached && d.watched {
			t.setWatched(d, false)
		}
	}
	t.unwatched = t.directories(func(d *directory) bool { return !d.watched })
}

// canWatch reports whether there are directories to watch.
func (t *tree) canWatch() bool {
	return len(t.unwatched) > 0 && !t.limits.reached.Load() || len(t.renewal) > 0
}

// watchSome watches directories for a moment, parents first.
func (t *tree) watchSome() {
	until := time.Now().Add(watchSlice)
	for t.canWatch() && time.Now().Before(until) {
		if len(t.unwatched) > 0 && !t.limits.reached.Load() {
			t.watch(pop(&t.unwatched))
			continue
		}
		before := t.renewal
		if !t.renew(pop(&t.renewal)) {
			t.renewal = before
			return
		}
	}
	if len(t.unwatched) == 0 && len(t.renewal) == 0 {
		t.tidy()
		t.deepest = ""
		t.relieve()
	}
}

func pop(queue *[]*directory) *directory {
	d := (*queue)[0]
	if *queue = (*queue)[1:]; len(*queue) == 0 {
		*queue = nil
	}
	return d
}

// watch watches d.
//
// The library follows links. If there was one on the way to d, the watch is another
// directory's, and its events name the path of d. So d has to be found behind its
// watch, without links: see misled.
func (t *tree) watch(d *directory) {
	if d.detached || d.watched {
		return
	}
	path := t.pathToKeep(d)
	t.calls.enter()
	err := t.notifier.watch(path)
	t.calls.leave()
	if err != nil {
		t.limits.refused(path, err)
		return
	}
	t.setWatched(d, true)
	if t.renewing {
		t.renewal = append(t.renewal, d)
	}
	if !t.catchUp(d) {
		t.misled(path)
	}
}

// renew watches d in the new generation too. It reports whether to go on.
func (t *tree) renew(d *directory) bool {
	if d.detached || !d.watched {
		return true
	}
	path := t.pathToKeep(d)
	t.calls.enter()
	err := t.notifier.renew(path, t.generation)
	t.calls.leave()
	switch {
	case errors.Is(err, errBuilt): // see followGenerations
		return false
	case isLimit(err): // two generations are too much for it
		t.forest.hasten()
		return false
	case err != nil:
		t.setWatched(d, false) // the poll tries again
	case !t.catchUp(d):
		t.misled(path)
	}
	return true
}

// catchUp finds what has changed in d since it was listed and before it was
// watched. It reports whether d was there.
func (t *tree) catchUp(d *directory) bool {
	f, err := t.disk.open(d.path())
	if err != nil {
		t.missed(d, err)
		return isShortage(err)
	}
	now, err := f.stat()
	f.close()
	switch {
	case err != nil:
		t.missed(d, err)
	case t.isReplaced(d, now.stamp()):
		t.replace(d)
		return false
	case d.trust < trustStamp || now.stamp() != d.stamp:
		d.trust = min(d.trust, trustNothing)
		t.relist(d)
	}
	return true
}

// misled has the directory watched again to which a link at the path leads. If the
// link is gone by now, all watches are renewed soon, because the directory that was
// there has left.
func (t *tree) misled(path string) {
	t.calls.enter()
	t.strayed[followed(path)] = struct{}{}
	t.calls.leave()
}

// relieve gives back the memory that the first scan has taken beyond what is
// kept.
func (t *tree) relieve() {
	if t.size >= largeTree && !t.relieved {
		t.relieved = true
		go debug.FreeOSMemory() // takes a while
	}
}

func (t *tree) unwatch(d *directory) {
	if d.watched {
		t.setWatched(d, false)
		t.unwatched = append(t.unwatched, d)
	}
}

// pathToKeep returns the absolute path of d for the library, which keeps it. It
// is a part of the path of a directory further down, if there is one: to watch
// that is next, and the library keeps one text instead of two.
func (t *tree) pathToKeep(d *directory) string {
	path := t.absolute(d.path())
	if !isWithin(t.deepest, path) {
		for deep := d; ; deep = deep.subs[0] {
			if len(deep.subs) == 0 {
				t.deepest = t.absolute(deep.path())
				break
			}
		}
	}
	return t.deepest[:len(path)]
}

// tidy is called when all directories are watched. What a link leads to may have
// lost its watch: it is watched again.
func (t *tree) tidy() {
	t.calls.enter()
	links := t.notifier.tidy()
	for _, path := range links {
		t.strayed[followed(path)] = struct{}{}
	}
	t.calls.leave()
}

// findStrayed has those directories watched again that may have lost their
// watches to another path: they were seen there, and are not there any more.
func (t *tree) findStrayed() {
	if len(t.strayed) == 0 {
		return
	}
	t.root.each(func(d *directory) {
		if _, ok := t.strayed[d.stamp.id]; ok {
			t.unwatch(d)
		}
	})
	clear(t.strayed)
}
