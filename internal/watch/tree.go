package watch

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
)

// tree is what is known of the watched directory from one scan on, until it is
// lost or scanned afresh. Only the Watcher's loop uses it, except for what a
// scan's readers may: see read.
type tree struct {
	dir       string
	disk      disk
	excludes  excludes
	recursive bool
	log       *zap.Logger
	halted    func() bool // the Watcher is to stop: whatever is under way is moot
	notifier  notifier    // nil: poll only
	limits    *limits

	root    *directory
	set     *files.Set // without the changes
	changes changes
	step    uint64                  // counts how often changes were applied
	owners  map[identity]*directory // whose path the notifications of a directory name
	watches atomic.Uint32           // counts the watches that were set
	doubt   bool                    // hints may have been lost: trust stamps less

	unreadable, polled int
	astray             bool   // the watched directory itself needs a check
	broken             error  // a bug: the changes did not fit the Set
	path               []byte // scratch
}

// commit applies the changes to the Set.
func (t *tree) commit() {
	if t.changes.empty() {
		return
	}
	t.step++
	delta := t.changes.take()
	if delta.Empty() {
		return // the same came again
	}
	set, err := t.set.Apply(delta)
	if err != nil {
		t.broken = err
		t.log.Error("changes do not fit", zap.String("directory", t.dir), zap.Error(err))
		return
	}
	t.set = set
}

// change notes that a file of d came or went. One whose directory changed
// before must not be looked at again until that is in the Set: see touch.
func (t *tree) change(d *directory, name []byte, present bool) {
	d.touched = t.step
	if present {
		t.changes.add(name)
	} else {
		t.changes.remove(name)
	}
	if t.changes.full() {
		t.commit()
	}
}

// touch is called before the files of d are compared with the Set.
func (t *tree) touch(d *directory) {
	if d.touched == t.step {
		t.commit()
	}
}

// admit takes over what reading d, which is not in the tree yet, has shown. What
// was at its path before may be on its way out of the Set.
func (t *tree) admit(d *directory, r *reading) {
	d.touched = t.step
	t.learn(d, r)
	t.count(d, +1)
	t.own(d)
}

// update takes over what reading d once more has shown.
func (t *tree) update(d *directory, r *reading) {
	t.count(d, -1)
	if r.watch == 0 {
		r.watch = d.watch
	}
	t.learn(d, r)
	t.count(d, +1)
	t.own(d)
}

func (t *tree) learn(d *directory, r *reading) {
	if d.denied && r.err == nil {
		t.log.Info("directory readable", t.field(d))
	}
	if r.err != nil && !d.denied {
		t.log.Warn("directory unreadable", t.field(d), zap.Error(cause(r.err)))
	}
	if r.overlong && !d.overlong {
		t.log.Warn("names too long", t.field(d), zap.Int("limit", files.MaxName))
	}
	d.denied, d.overlong, d.remote = r.err != nil, r.overlong, r.remote
	d.stamp, d.watch = r.stamp, r.watch
	d.hinted, d.racy = false, r.young && (t.doubt || t.isPolled(d))
	d.entries, d.listed = uint32(len(r.listing.entries)), t.step
}

// isPolled reports whether hints alone are not enough to follow d.
func (t *tree) isPolled(d *directory) bool { return d.watch == 0 || d.remote }

func (t *tree) count(d *directory, by int) {
	switch {
	case d.denied:
		t.unreadable += by
	case d.overlong:
		t.unreadable += by
		fallthrough
	default:
		if t.isPolled(d) {
			t.polled += by
		}
	}
}

// own settles whose watch it is when one directory is known under two paths,
// because it was moved a moment ago or is mounted twice: notifications name the
// path that was watched last.
func (t *tree) own(d *directory) {
	if d.watch == 0 || d.stamp.ino == 0 {
		return
	}
	loser := t.owners[d.stamp.identity]
	if loser == d {
		return
	}
	if loser == nil || loser.watch < d.watch {
		t.owners[d.stamp.identity] = d
	} else {
		loser = d
	}
	if loser != nil {
		t.count(loser, -1)
		loser.watch = 0
		t.count(loser, +1)
	}
}

func (t *tree) disown(d *directory) {
	if t.owners[d.stamp.identity] == d {
		delete(t.owners, d.stamp.identity)
	}
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
	prefix := d.appendPrefix(nil)
	c := t.set.Cursor()
	for c.Seek(prefix); c.Next() && bytes.HasPrefix(c.Name(), prefix); {
		t.change(d, c.Name(), false)
	}
	for _, sub := range d.subs {
		sub.each(t.forget)
	}
	d.subs = nil
}

func (t *tree) forget(d *directory) {
	t.count(d, -1)
	t.disown(d)
	d.detached = true
}

// setWatch watches the directory at path and returns the number of the watch,
// or 0 when it cannot be watched.
func (t *tree) setWatch(path string) uint32 {
	if t.notifier == nil || t.limits.reached.Load() {
		return 0
	}
	if err := t.notifier.watch(t.absolute(path)); err != nil {
		t.limits.refused(t.absolute(path), err)
		return 0
	}
	return t.watches.Add(1)
}

// canWatch reports whether it is worth trying to watch d, which is not.
func (t *tree) canWatch(d *directory) bool {
	return d.watch == 0 && t.notifier != nil && !t.limits.reached.Load() &&
		t.owners[d.stamp.identity] == nil
}

// tidy ends the watching of directories, for now. What a link leads to may have
// lost its watch in that: it is watched again.
func (t *tree) tidy() {
	if t.notifier == nil {
		return
	}
	for range swaps {
		links := t.notifier.tidy()
		if len(links) == 0 {
			return
		}
		for _, path := range links {
			if d := t.owners[followed(path)]; d != nil {
				t.relist(d, true)
			}
		}
	}
}

func (t *tree) absolute(path string) string {
	switch {
	case path == "":
		return t.dir
	case t.dir == "/":
		return "/" + path
	}
	return t.dir + "/" + path
}

func (t *tree) field(d *directory) zap.Field {
	return zap.String("directory", t.absolute(string(d.appendPath(nil))))
}

// young reports whether a stamp that was taken at now may hide a later change:
// clocks of file systems tick, in milliseconds here, in seconds there.
func young(s stamp, now time.Time) bool {
	tick := 20 * time.Millisecond
	if s.changed%1e9 == 0 && s.modified%1e9 == 0 {
		tick = 2 * time.Second
	}
	age := now.UnixNano() - max(s.changed, s.modified)
	return age < int64(tick) && age > -int64(tick)
}

var (
	errHalted      = errors.New("halted")
	errNameTooLong = errors.New("name too long")
)
