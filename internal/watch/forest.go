package watch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/wake"
)

const (
	// monitorEvery is how often the trees are monitored.
	monitorEvery = 250 * time.Millisecond
	// hungAfter is how long a call to a file system may take before its mount is
	// set aside.
	hungAfter = time.Second
	// remoteGrace is how long a first list waits for mounts of other machines once
	// the rest is listed.
	remoteGrace = time.Second
	// endGrace is how long the trees have to end. One that hangs is left alone.
	endGrace = 300 * time.Millisecond
	// stuckAfter is after how long without a sign of life a tree that waits for no
	// file system is stuck.
	stuckAfter = 10 * time.Second
)

// forest is the watched directory, for as long as it can be served: a tree for
// each mount, which changes the one Set of all. Its own goroutine makes no call
// that can hang.
type forest struct {
	*Watcher
	notifier notifier
	answered wake.Signal // a tree has answered a rescan
	remount  wake.Signal // the table of mounts may say something else by now
	ended    chan *tree
	mounts   atomic.Pointer[points]
	round    uint64      // of rescans
	asking   bool        // a round is under way
	hurry    atomic.Bool // see hasten

	mu      sync.Mutex
	set     *files.Set
	trees   map[string]*tree // by path; only the forest's goroutine changes it
	sorted  []*tree          // the same, by path
	aside   map[*tree]bool   // do not answer
	serving bool             // the first list is complete
	late    bool             // and no longer waits for remote mounts
}

func (w *Watcher) newForest(n notifier) *forest {
	f := &forest{
		Watcher: w, notifier: n, answered: wake.NewSignal(), remount: wake.NewSignal(), ended: make(chan *tree),
		set: new(files.Set), trees: map[string]*tree{}, aside: map[*tree]bool{},
	}
	f.mounts.Store(&points{})
	return f
}

// run serves the directory until it is lost, or ctx done. The error, never nil,
// says why.
func (f *forest) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	table := watchMounts()
	defer table.end()
	defer f.wait()
	defer cancel()
	f.requests.begin() // the first scan answers those who wait
	f.asking = true
	f.replant(ctx)
	tick := time.NewTicker(monitorEvery)
	defer tick.Stop()
	monitor := monitor{}
	late := (<-chan time.Time)(nil)
	for {
		asked := f.requests.asked
		if f.asking {
			asked = nil // the next round answers them
		}
		select {
		case <-ctx.Done():
			return errHalted
		case t := <-f.ended:
			if t.isHome() {
				return t.err
			}
			f.uproot(t)
			f.replant(ctx)
		case <-table.changed:
			f.replant(ctx)
			f.checkMounts()
		case <-f.remount:
			f.replant(ctx)
		case <-asked:
			f.replant(ctx)
			f.ask()
		case <-f.answered:
			if late == nil && f.isListed() {
				late = time.After(remoteGrace)
			}
			f.finish()
			f.renewWatches()
		case <-late:
			f.mu.Lock()
			f.late = true
			f.show()
			f.mu.Unlock()
		case now := <-tick.C:
			f.monitor(monitor, now)
			f.finish()
			f.renewWatches()
		}
	}
}

// replant makes the trees those of the present table of mounts.
func (f *forest) replant(ctx context.Context) {
	table := readMounts()
	home, _ := table.at(f.claim.Dir())
	mounts := map[string]mount{}
	for path, m := range table.below(f.claim.Dir()) {
		if f.recursive && !f.excludes.matchAny(path) {
			mounts[path] = m
		}
	}
	p := pointsOf(mounts)
	f.mounts.Store(&p)
	for _, path := range sortedDeepest(f.trees) {
		if t := f.trees[path]; !t.isHome() && t.mount != mounts[path] {
			f.uproot(t)
		}
	}
	if f.trees[""] == nil {
		f.plant(ctx, "", home)
	}
	paths := sortedDeepest(mounts)
	slices.Reverse(paths)
	for _, path := range paths {
		if f.trees[path] == nil {
			f.plant(ctx, path, mounts[path])
		}
	}
	f.route()
}

// plant begins a tree. A file system behind which a server stands is not handed
// to the library, whose locks it could hold for ever.
func (f *forest) plant(ctx context.Context, path string, m mount) {
	n := f.notifier
	if path != "" && m.isRemote() {
		n = nil
	}
	t := newTree(f, path, m, n)
	t.ctx, t.cancel = context.WithCancel(ctx)
	before := f.running[path]
	f.running[path] = t
	f.mu.Lock()
	f.trees[path] = t
	f.sort()
	f.show()
	f.mu.Unlock()
	if outer := f.outer(path); outer != nil {
		outer.events.add(f.absolute(path), 0) // it drops what it has listed there
	}
	go func() {
		defer close(t.done)
		if before != nil {
			t.calls.enter()
			<-before.done // it may hang still
			t.calls.leave()
		}
		t.err = t.run(t.ctx)
		select {
		case f.ended <- t:
		case <-t.ctx.Done():
		}
	}()
}

// uproot ends a tree. What it has listed is listed no more, and the outer tree
// looks at what is in its place.
func (f *forest) uproot(t *tree) {
	t.cancel()
	f.mu.Lock()
	if f.trees[t.path] != t {
		f.mu.Unlock()
		return
	}
	delete(f.trees, t.path)
	delete(f.aside, t)
	f.sort()
	t.state = treeEnded
	var names files.Builder
	f.eachNameLocked(f.set, t.path, names.Add)
	if set, err := f.set.Apply(files.Delta{Removed: names.Set(), Added: new(files.Set)}); err == nil {
		f.set = set
	}
	f.show()
	f.mu.Unlock()
	if outer := f.outer(t.path); outer != nil {
		outer.events.add(f.absolute(t.path), movedHere)
	}
	for _, other := range f.trees {
		if _, ok := f.aliasOf(t, other); ok { // what watches it may tell of paths in t
			other.events.misname()
		}
	}
}

func (f *forest) sort() {
	f.sorted = f.sorted[:0]
	for _, path := range slices.Sorted(maps.Keys(f.trees)) {
		f.sorted = append(f.sorted, f.trees[path])
	}
}

// outer returns the tree in which the mount point at path lies.
func (f *forest) outer(path string) *tree {
	for path != "" {
		path, _ = split(path)
		if t := f.trees[path]; t != nil {
			return t
		}
	}
	return nil
}

// route leads the events to the trees.
func (f *forest) route() {
	var routes []route
	for _, path := range sortedDeepest(f.trees) {
		t := f.trees[path]
		to := route{events: t.events}
		for _, other := range f.trees {
			if a, ok := f.aliasOf(t, other); ok {
				to.aliases = append(to.aliases, a)
			}
		}
		routes = append(routes, to)
	}
	f.router.set(routes)
}

// aliasOf tells which part of t the other one shows too.
func (f *forest) aliasOf(t, other *tree) (alias, bool) {
	if t == other || t.mount.device != other.mount.device || t.mount.device == "" {
		return alias{}, false
	}
	mine, theirs := f.absolute(t.path), f.absolute(other.path)
	here, there := t.mount.within(mine), other.mount.within(theirs)
	switch {
	case isWithin(there, here): // a part of t
		return alias{from: strings.TrimSuffix(mine, "/") + there[len(here):], to: theirs, events: other.events}, true
	case isWithin(here, there): // t is a part of the other
		return alias{from: mine, to: strings.TrimSuffix(theirs, "/") + here[len(there):], events: other.events}, true
	}
	return alias{}, false
}

// checkMounts has every tree make sure that its mount is still the one that it
// has listed.
func (f *forest) checkMounts() {
	for _, t := range f.trees {
		t.events.add(f.absolute(t.path), 0)
	}
}

// ask has every tree rescan, for those who wait for it.
func (f *forest) ask() {
	f.requests.begin()
	f.asking = true
	f.round++
	for _, t := range f.trees {
		t.wanted.Store(f.round)
		t.asked.Set()
	}
	f.finish()
}

// finish answers those who wait for a rescan, when every tree has come to an end
// of it. One that does not answer is named in the View.
func (f *forest) finish() {
	f.mu.Lock()
	done := f.serving
	for _, t := range f.trees {
		waived := f.aside[t] || (t.state < treeListed && t.mount.isRemote() && !t.isHome())
		done = done && (waived || t.answered.Load() >= t.wanted.Load() && t.state >= treeListed)
	}
	f.mu.Unlock()
	if done && f.asking {
		f.asking = false
		f.requests.done()
	}
}

// renewWatches begins and finishes generations of the notifier: what has left the
// tree is to hold no watch and no memory.
func (f *forest) renewWatches() {
	if f.notifier == nil {
		return
	}
	current, newest := f.notifier.generations()
	switch {
	case newest > current && (f.hurry.Swap(false) || f.isRenewed(newest)):
		f.notifier.finish()
		f.log.Debug("watches renewed")
	case newest == current && f.notifier.due(f.directories()):
		f.hurry.Store(false)
		f.notifier.begin()
	default:
		return
	}
	for _, t := range f.trees {
		t.events.ready.Set()
	}
}

// directories is how many there are.
func (f *forest) directories() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.trees {
		n += t.report.directories
	}
	return n
}

// isRenewed reports whether every directory is watched in the new generation. It
// does not wait for trees that do not answer: they find out.
func (f *forest) isRenewed(generation uint32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.trees {
		if t.following.Load() && !f.aside[t] && t.renewed.Load() != generation {
			return false
		}
	}
	return true
}

// hasten makes the new generation the current one at once: there is no room for
// two. Directories that are not in it yet are polled until they are.
func (f *forest) hasten() {
	f.hurry.Store(true)
	f.answered.Set()
}

// monitor is what was last seen of each tree.
type monitor map[*tree]seen

type seen struct {
	calls, alive uint64
	since        time.Time // both have been so
}

// monitor sets aside trees that hang in a call, and takes them back. It counts
// as a sign of life of the Watcher unless a tree is stuck in itself.
func (f *forest) monitor(m monitor, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stuck := false
	for t := range m {
		if f.trees[t.path] != t {
			delete(m, t)
		}
	}
	for _, t := range f.trees {
		ended, begun := t.calls.ended.Load(), t.calls.begun.Load()
		is := seen{calls: ended, alive: t.alive.Load(), since: now}
		if was, ok := m[t]; ok && was.calls == is.calls && was.alive == is.alive {
			is.since = was.since
		}
		m[t] = is
		inCall := begun != ended
		f.setAside(t, inCall && now.Sub(is.since) >= hungAfter)
		stuck = stuck || !inCall && now.Sub(is.since) >= stuckAfter
	}
	if !stuck {
		f.pulse()
	}
	f.show()
}

func (f *forest) setAside(t *tree, hung bool) {
	switch {
	case hung && !f.aside[t]:
		f.aside[t] = true
		f.log.Warn("file system does not answer", zap.String("path", f.absolute(t.path)), zap.String("type", t.mount.kind))
	case !hung && f.aside[t]:
		delete(f.aside, t)
		f.log.Info("file system answers again", zap.String("path", f.absolute(t.path)))
	}
}

// wait waits until the trees have ended, except for those that hang.
func (f *forest) wait() {
	f.mu.Lock()
	for _, t := range f.trees {
		t.state = treeEnded
	}
	f.mu.Unlock()
	f.router.set(nil)
	late := time.After(endGrace)
	for path, t := range f.running {
		select {
		case <-t.done:
			delete(f.running, path)
		case <-late:
			return
		}
	}
}

// enter notes how far the tree has come, and what it has found so far.
func (f *forest) enter(t *tree, s treeState) {
	r := t.condition()
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.state != treeEnded {
		t.state, t.report = s, r
		f.show()
		f.answered.Set()
	}
}

// apply makes a change of t's and returns the Set with it.
func (f *forest) apply(t *tree, d files.Delta) (*files.Set, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.state == treeEnded {
		return nil, errHalted
	}
	set, err := f.set.Apply(d)
	if err != nil {
		f.log.Error("changes do not fit", zap.Error(err))
		return nil, err
	}
	f.set = set
	return set, nil
}

// addAll adds what a tree has found first.
func (f *forest) addAll(t *tree, set *files.Set) (*files.Set, error) {
	f.mu.Lock()
	if f.set.Len() == 0 && t.state != treeEnded {
		defer f.mu.Unlock()
		f.set = set
		return set, nil
	}
	f.mu.Unlock()
	return f.apply(t, files.Delta{Removed: new(files.Set), Added: set})
}

func (f *forest) current() *files.Set {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.set
}

// publish shows what t has found, and has those inner trees begin in whose place
// it lists nothing.
func (f *forest) publish(t *tree) {
	r := t.condition()
	f.mu.Lock()
	defer f.mu.Unlock()
	if t.state == treeEnded {
		return
	}
	t.report = r
	for _, inner := range f.sorted {
		if inner.state == treeWaiting && !isClosed(inner.cleared) && f.outer(inner.path) == t && t.root.find(t.relative(inner.path)) == nil {
			close(inner.cleared)
		}
	}
	f.show()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// relative returns the path relative to the tree's own directory.
func (t *tree) relative(path string) string {
	if t.isHome() {
		return path
	}
	return path[len(t.path)+1:]
}

// show shows the View. The caller holds mu.
func (f *forest) show() {
	v := files.View{Set: f.set}
	var missing []string
	for _, t := range f.sorted {
		v.Unreadable += t.report.unreadable
		v.Polled += t.report.polled
		v.PollRound = max(v.PollRound, t.report.round)
		v.Scanned += int(t.found.Load())
		switch {
		case f.aside[t]:
			missing = append(missing, fmt.Sprintf("the file system (%s) of %s does not answer", t.mount.kind, f.absolute(t.path)))
		case t.state < treeListed:
			missing = append(missing, f.absolute(t.path)+" is being scanned")
		}
		if t.report.incomplete != "" {
			missing = append(missing, t.report.incomplete)
		}
	}
	f.serving = f.serving || f.isComplete()
	if f.serving {
		v.Scanned = 0
		v.Incomplete = strings.Join(missing, "; ")
	} else {
		v = files.View{Reason: f.startReason(v.Scanned, missing), Scanned: v.Scanned}
	}
	f.Watcher.show(v)
}

// startReason returns why the first list is not shown yet. The reason of the View
// stands until a file is found: a directory that fails again and again is not
// said to be scanned in between.
func (f *forest) startReason(found int, missing []string) string {
	switch {
	case f.aside[f.trees[""]]:
		return missing[0]
	case found == 0:
		return cmp.Or(f.View().Reason, scanning)
	}
	return scanning
}

// isComplete reports whether the first list can be shown. It does not wait for
// mounts that do not answer, nor for long for those of other machines.
func (f *forest) isComplete() bool {
	for _, t := range f.sorted {
		waived := !t.isHome() && (f.aside[t] || f.late && t.mount.isRemote())
		if t.state < treeListed && !waived {
			return false
		}
	}
	return len(f.trees) > 0
}

func (f *forest) isListed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.trees[""].state >= treeListed
}

// eachName calls do for the names in the set below the directory at path that
// are not of an inner tree. If there is an inner tree, its mount may have been
// moved along with the directory.
func (f *forest) eachName(set *files.Set, path string, do func(name []byte)) {
	f.mu.Lock()
	inner := f.eachInner(path)
	f.mu.Unlock()
	if len(inner) > 0 {
		f.remount.Set()
	}
	eachName(set, path, inner, do)
}

func (f *forest) eachNameLocked(set *files.Set, path string, do func(name []byte)) {
	eachName(set, path, f.eachInner(path), do)
}

// eachInner returns the paths of the trees below path. The caller holds mu.
func (f *forest) eachInner(path string) (inner []string) {
	for p := range f.trees {
		if p != "" && p != path && (path == "" || isWithin(p, path)) {
			inner = append(inner, p)
		}
	}
	return inner
}

func eachName(set *files.Set, path string, except []string, do func(name []byte)) {
	var prefix []byte
	if path != "" {
		prefix = append([]byte(path), '/')
	}
	for c := set.Cursor(); ; {
		c.Seek(prefix)
		for {
			if !c.Next() || path != "" && !hasPrefix(c.Name(), path) {
				return
			}
			if i := slices.IndexFunc(except, func(p string) bool { return hasPrefix(c.Name(), p) }); i >= 0 {
				prefix = append([]byte(except[i]), '/'+1)
				break
			}
			do(c.Name())
		}
	}
}

func (f *forest) points() points { return *f.mounts.Load() }

func (f *forest) absolute(path string) string {
	dir := f.claim.Dir()
	switch {
	case path == "":
		return dir
	case dir == "/":
		return "/" + path
	}
	return dir + "/" + path
}
