package watch

import (
	"bytes"
	"errors"
	"sync/atomic"

	"go.uber.org/zap"

	"scout/internal/files"
)

// tree is what is known of the watched directory from one scan on, until it is
// lost or scanned afresh. Only the Watcher's loop uses it, except for what a
// scan's readers may: see read.
type tree struct {
	dir       string
	disk      disk
	anchors   *anchors
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
	asked   bool                    // somebody waits for this look: trust only what proves itself

	unreadable, polled int
	short              bool   // for want of descriptors or memory not all was seen
	astray             bool   // the watched directory itself needs a check
	broken             error  // a bug: the changes did not fit the Set
	path               []byte // scratch
}

// directories returns how many there are.
func (t *tree) directories() (n int) {
	t.root.each(func(*directory) { n++ })
	return n
}

// close gives up what the tree holds of the system's.
func (t *tree) close() {
	t.root.each(func(d *directory) { t.anchors.weigh(d.anchor) })
	t.anchors.close()
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
	t.short = t.short || isShortage(r.err)
	d.denied, d.overlong, d.remote = r.err != nil, r.overlong, r.remote
	d.stamp, d.watch = r.stamp, r.watch
	d.hinted, d.racy = r.young, r.young && (t.doubt || t.isPolled(d))
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
	t.anchors.weigh(d.anchor)
	d.anchor, d.detached = noAnchor, true
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
	return zap.String("path", t.absolute(string(d.appendPath(nil))))
}

var (
	errHalted      = errors.New("halted")
	errNameTooLong = errors.New("name too long")
)
