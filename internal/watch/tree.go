package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/throttle"
	"scout/internal/wake"
)

// tree is what is known of the directories on one mount, from one scan on. Its
// own goroutine makes all calls to that file system and alone uses what is here,
// except where something else is said.
type tree struct {
	forest *forest
	path   string // of its own directory, relative to the watched one; "" for that itself
	mount  mount
	log    *zap.Logger
	limits *limits

	disk     disk
	notifier notifier // nil: poll only
	events   *events
	root     *directory
	set      *files.Set // what all trees have found, as of the last commit, without the changes
	changes  changes
	step     uint32 // counts how often changes were applied
	buffer   []byte // scratch: a path

	watching
	flaws   map[*directory]flaw // why a directory is not listed, or not completely
	mountID uint64              // of its own directory

	size    int // directories
	demand  trust
	short   bool  // for want of descriptors or memory not everything was seen
	suspect bool  // the tree's own directory needs a check
	broken  error // a bug: the changes did not fit the Set

	recovery *recovery
	patrol   patrol
	ctx      context.Context

	// Any goroutine may use these.
	calls     calls
	found     atomic.Int64  // files, during the first scan
	alive     atomic.Uint64 // counts signs of life
	asked     wake.Signal   // a rescan is wanted
	wanted    atomic.Uint64 // the last rescan that is
	answered  atomic.Uint64 // the last rescan that is done
	following atomic.Bool   // the generations of the notifier
	renewed   atomic.Uint32 // the last generation that has all its directories
	done      chan struct{} // closed when its goroutine has ended,
	err       error         // and then why
	cancel    context.CancelFunc
	cleared   chan struct{} // closed when the outer tree lists nothing here any more

	// The forest's lock guards these.
	state  treeState
	report report
}

// treeState is how far a tree has come.
type treeState uint8

const (
	treeWaiting treeState = iota // for the outer tree
	treeScanning
	treeListed
	treeEnded // it changes nothing any more, whatever its goroutine finds
)

// report is what a tree says of itself.
type report struct {
	directories, unreadable, polled int
	incomplete                      string
	round                           time.Duration
}

// calls counts the calls to a file system, so that it shows when one hangs.
type calls struct{ begun, ended atomic.Uint64 }

func (c *calls) enter() { c.begun.Add(1) }
func (c *calls) leave() { c.ended.Add(1) }

// flaw is why files of a directory are missing.
type flaw struct {
	err     error // it is not listed at all
	missing int   // so many of its entries are not listed
}

var (
	errHalted      = errors.New("halted")
	errNameTooLong = errors.New("name too long")
)

// isGone reports whether err says that no directory is there (any more), or that
// it belongs to another mount.
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EXDEV) || errors.Is(err, errNotDir)
}

// isShortage reports whether err is about this process or machine and says
// nothing of what is on the disk.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOMEM)
}

// newTree returns a tree that knows nothing yet.
func newTree(f *forest, path string, m mount, n notifier) *tree {
	log := f.log
	if path != "" {
		log = log.With(zap.String("mount", f.absolute(path)))
	}
	return &tree{
		forest: f, path: path, mount: m, log: log, limits: newLimits(log),
		notifier: n, events: newEvents(f.absolute(path)),
		root: &directory{name: path}, set: new(files.Set),
		watching: watching{strayed: map[uint64]struct{}{}}, flaws: map[*directory]flaw{},
		demand: trustEvents, recovery: newRecovery(log),
		patrol: patrol{budget: throttle.NewBudget(patrolShare, time.Duration(float64(f.poll)*patrolShare))},
		asked:  wake.NewSignal(), done: make(chan struct{}), cleared: make(chan struct{}),
	}
}

// admit takes over what reading d, which is not in the tree yet, has shown. What
// was at its path before may be on its way out of the Set.
func (t *tree) admit(d *directory, r *reading) {
	d.touched = t.step
	t.learn(d, r)
	t.count(d, +1)
	t.size++
	if t.notifier != nil {
		t.unwatched = append(t.unwatched, d)
	}
}

// update takes over what reading d once more has shown.
func (t *tree) update(d *directory, r *reading) {
	t.learn(d, r)
}

func (t *tree) learn(d *directory, r *reading) {
	t.note(d, flaw{err: r.err, missing: r.missing})
	t.short = t.short || isShortage(r.err)
	d.stamp, d.listed, d.entries = r.stamp, t.step, uint32(len(r.listing.entries))
	switch {
	case r.err != nil || !t.mount.hasStamps():
		d.trust = trustNothing
	case r.young:
		d.trust = trustEvents
	default:
		d.trust = trustStamp
	}
}

// note takes down, and logs, what is missing of d.
func (t *tree) note(d *directory, now flaw) {
	if len(t.flaws) == 0 && now == (flaw{}) {
		return
	}
	before := t.flaws[d]
	if now == (flaw{}) {
		delete(t.flaws, d)
	} else {
		t.flaws[d] = now
	}
	if before.err != nil && now.err == nil {
		t.log.Info("directory readable", t.field(d))
	}
	if now.err != nil && before.err == nil {
		t.log.Warn("directory unreadable", t.field(d), zap.Error(cause(now.err)))
	}
	if now.missing > before.missing {
		t.log.Warn("names too long", t.field(d), zap.Int("limit", files.MaxName))
	}
}

// isPolled reports whether events alone are not enough to follow d.
func (t *tree) isPolled(d *directory) bool { return !d.watched || !t.mount.hasStamps() }

// needed is how much the stamp of d must prove for d not to be listed.
func (t *tree) needed(d *directory) trust {
	if t.isPolled(d) {
		return trustStamp
	}
	return t.demand
}

// count adds d to the polled directories, or takes it away, if it is one.
func (t *tree) count(d *directory, by int) {
	if !t.isPolled(d) {
		return
	}
	for ; d != nil; d = d.parent {
		d.polled += uint32(by)
	}
}

// setWatched notes whether events tell what happens in d.
func (t *tree) setWatched(d *directory, watched bool) {
	t.count(d, -1)
	d.watched = watched
	t.count(d, +1)
}

// drop removes a directory, with all that is below, from the tree and the Set.
func (t *tree) drop(d *directory) {
	t.strip(d)
	t.forget(d)
	d.parent.detach(d)
	d.parent.touched = t.step // what was below d is on its way out of the Set
}

// strip removes all that is below d.
func (t *tree) strip(d *directory) {
	d.each(t.touch)
	t.forest.eachName(t.set, d.path(), func(name []byte) { t.change(d, name, false) })
	for _, sub := range d.subs {
		sub.each(t.forget)
	}
	d.subs = nil
}

func (t *tree) forget(d *directory) {
	t.count(d, -1)
	t.size--
	delete(t.flaws, d)
	if d.watched {
		t.strayed[d.stamp.id] = struct{}{}
		t.notifier.left()
	}
	d.detached = true
}

// condition describes the tree for the forest.
func (t *tree) condition() report {
	r := report{directories: t.size, unreadable: len(t.flaws), polled: int(t.root.polled), round: t.patrol.round}
	var first *directory
	for d := range t.flaws {
		if first == nil || compareDirectories(d.path(), first.path()) < 0 {
			first = d
		}
	}
	if first == nil {
		return r
	}
	path := cmp.Or(first.path(), ".")
	if f := t.flaws[first]; f.err != nil {
		r.incomplete = fmt.Sprintf("%s cannot be read: %v", path, cause(f.err))
	} else {
		r.incomplete = fmt.Sprintf("%s has %d names that cannot be listed", path, f.missing)
	}
	if n := len(t.flaws) - 1; n > 0 {
		r.incomplete += fmt.Sprintf(" (and %d more)", n)
	}
	return r
}

func (t *tree) absolute(path string) string { return t.forest.absolute(path) }

func (t *tree) field(d *directory) zap.Field { return zap.String("path", t.absolute(d.path())) }

// hasPrefix reports whether name is below the directory at path.
func hasPrefix(name []byte, path string) bool {
	return len(name) > len(path) && name[len(path)] == '/' && bytes.HasPrefix(name, []byte(path))
}
