package watch

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
)

// Options are how a directory is watched.
type Options struct {
	// Poll is how long to wait between looks at every directory; 0 means 5 s.
	Poll time.Duration
	// Recursive includes subdirectories.
	Recursive bool
	// Exclude has glob patterns on paths relative to the directory. What they
	// match is neither listed nor, if it is a directory, read or watched.
	Exclude []string
	// Notify makes use of the system's notifications; otherwise there is only
	// the poll.
	Notify bool
	// Log says which directory it is about. It may be nil.
	Log *zap.Logger
}

const (
	defaultPoll = 5 * time.Second
	// checkEvery is how often the watched directory itself is checked,
	// retryEvery while it cannot be served.
	checkEvery = time.Second
	retryEvery = 250 * time.Millisecond
	// progressEvery is how often a first scan shows how far it is.
	progressEvery = 200 * time.Millisecond
	// breath is after how many directories a look everywhere pauses to follow
	// hints.
	breath = 64
)

// scanning is the reason of a View while the directory is scanned.
const scanning = "scanning"

// errScanAgain says that a tree is of no use any more, though its directory is.
var errScanAgain = errors.New(scanning)

// Watcher keeps a View of a claimed directory true.
type Watcher struct {
	claim    *Claimed
	poll     time.Duration
	excludes excludes
	options  Options
	log      *zap.Logger
	hints    *hints
	limits   *limits
	notify   func(*hints) notifier // nil: poll only
	check    time.Duration         // how often the watched directory itself is checked
	requests *requests

	view    atomic.Pointer[files.View] // written by Run alone
	changed chan time.Time
}

// New returns a Watcher of the claimed directory. It is an error when an
// exclude pattern is not valid.
func New(c *Claimed, o Options) (*Watcher, error) {
	x, err := parseExcludes(o.Exclude)
	if err != nil {
		return nil, err
	}
	if o.Poll < 0 {
		return nil, fmt.Errorf("poll every %s: the time between polls must be positive", o.Poll)
	}
	if o.Poll == 0 {
		o.Poll = defaultPoll
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	w := &Watcher{
		claim: c, poll: o.Poll, excludes: x, options: o, log: o.Log,
		hints: newHints(c.Dir(), floodLevel()), limits: newLimits(o.Log),
		check: checkEvery, changed: make(chan time.Time, 1), requests: newRequests(),
	}
	if o.Notify {
		w.notify = func(h *hints) notifier { return newLibrary(h) }
	}
	w.view.Store(&files.View{Reason: scanning})
	return w, nil
}

// View returns what is known now. It may be called by anyone at any time.
func (w *Watcher) View() files.View { return *w.view.Load() }

// Changed returns a channel that receives after the View has changed. It holds
// one token, the time of the first change that was not received: a slow reader
// misses no change, only how many there were.
func (w *Watcher) Changed() <-chan time.Time { return w.changed }

// Rescan has every directory looked at once more, whatever was notified of it. The
// channel is closed when View has all that was on the disk at the call. While
// there is no Set that waits until there is one, and for ever once Run has
// returned. It may be called by anyone at any time: calls that come while a
// look is under way share the next one.
func (w *Watcher) Rescan() <-chan struct{} { return w.requests.ask() }

// Run watches until the context ends, and then returns nil. It may be called
// once.
func (w *Watcher) Run(ctx context.Context) error {
	var n notifier
	if w.notify != nil {
		n = w.notify(w.hints)
		defer n.close()
	}
	for ctx.Err() == nil {
		err := w.serve(ctx, n)
		if ctx.Err() != nil {
			break
		}
		w.unavailable(err)
		if !errors.Is(err, errReplaced) && !errors.Is(err, errScanAgain) {
			wait(ctx, min(w.check, retryEvery))
		}
	}
	return nil
}

// serve scans the directory and follows its changes for as long as it is there.
// The error, never nil, is the reason why there is no View of it.
func (w *Watcher) serve(ctx context.Context, n notifier) error {
	if err := w.claim.renew(); err != nil {
		return err
	}
	disk, err := openDisk(w.claim)
	if err != nil {
		return reason(err)
	}
	defer disk.close()
	t := w.newTree(disk, n)
	defer t.close()
	if err := w.scan(ctx, t); err != nil {
		return err
	}
	t.halted = func() bool { return ctx.Err() != nil }
	w.publish(t)
	if !t.short {
		w.requests.done()
	}
	return w.follow(ctx, t)
}

func (w *Watcher) newTree(k disk, n notifier) *tree {
	return &tree{
		dir: w.claim.Dir(), disk: k, anchors: newAnchors(k), excludes: w.excludes, recursive: w.options.Recursive,
		log: w.log, limits: w.limits, notifier: n,
		root: &directory{}, set: new(files.Set), owners: map[identity]*directory{},
	}
}

// scan reads the whole directory for the first time, and shows how far it is.
func (w *Watcher) scan(ctx context.Context, t *tree) error {
	var names files.Builder
	var lost error
	began := time.Now()
	shown := began
	t.halted = func() bool {
		if now := time.Now(); now.Sub(shown) >= progressEvery && lost == nil {
			shown, lost = now, w.claim.check()
			if isShortage(lost) {
				lost = nil
			}
			w.show(files.View{Reason: scanning, Scanned: names.Len()})
		}
		return lost != nil || ctx.Err() != nil
	}
	w.requests.begin()
	w.hints.take()
	w.limits.retry()
	err := t.scan(t.root, func(_ *directory, name []byte) { names.Add(name) })
	switch {
	case lost != nil:
		return lost
	case err != nil:
		return reason(err)
	}
	t.set = names.Set()
	t.anchors.reserve(t.disk, t.directories())
	w.log.Info("directory scanned", zap.Int("files", t.set.Len()), zap.Float64("seconds", time.Since(began).Seconds()))
	return nil
}

// publish shows what the tree knows, if that is something else than is shown.
func (w *Watcher) publish(t *tree) {
	t.commit()
	if t.broken == nil {
		w.show(files.View{Set: t.set, Unreadable: t.unreadable, Polled: t.polled})
	}
}

func (w *Watcher) unavailable(err error) {
	if was := w.View(); was.Reason != err.Error() {
		w.log.Warn("directory unavailable", zap.Error(err))
	}
	w.show(files.View{Reason: err.Error()})
}

func (w *Watcher) show(v files.View) {
	if v == w.View() {
		return
	}
	shown := v // escapes, which v had better not when nothing has changed
	w.view.Store(&shown)
	select {
	case w.changed <- time.Now():
	default:
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
