package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/wake"
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

const defaultPoll = 5 * time.Second

// scanning is the reason of a View while the directory is scanned.
const scanning = "scanning"

// errScanAgain says that a tree is of no use any more, though its directory is.
var errScanAgain = errors.New(scanning)

// Watcher keeps a View of a claimed directory true.
type Watcher struct {
	claim     *Claimed
	poll      time.Duration
	excludes  excludes
	recursive bool
	log       *zap.Logger
	router    *router
	notify    func(*router) notifier // nil: poll only
	check     time.Duration          // how often the watched directory itself is checked
	requests  *requests
	running   map[string]*tree // whose goroutines may not have ended; Run's alone
	beat      atomic.Int64     // the last sign of life, in nanoseconds of the process

	view    atomic.Pointer[files.View]
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
		claim: c, poll: o.Poll, excludes: x, recursive: o.Recursive, log: o.Log,
		router: newRouter(floodLevel()), check: checkEvery,
		changed: make(chan time.Time, 1), requests: newRequests(), running: map[string]*tree{},
	}
	if o.Notify {
		w.notify = func(r *router) notifier { return newLibrary(r, c.Dir()) }
	}
	w.pulse()
	w.view.Store(&files.View{Reason: scanning})
	return w, nil
}

// View returns what is known now. It may be called by anyone at any time.
func (w *Watcher) View() files.View { return *w.view.Load() }

// Changed returns a channel that receives after the View has changed. It holds
// one token, the time of the first change that was not received: a slow reader
// misses no change, only how many there were.
func (w *Watcher) Changed() <-chan time.Time { return w.changed }

// Rescan has every directory verified once more, whatever was notified of it.
// The channel is closed when View has all that was on the disk at the call, as
// far as View does not say that it is incomplete. While there is no Set that
// waits until there is one, and for ever once Run has returned. Any goroutine
// may call it at any time: calls that come during a rescan share the next one.
func (w *Watcher) Rescan() <-chan struct{} { return w.requests.ask() }

// Alive reports whether the Watcher works. A file system that does not answer is
// no fault of the Watcher's.
func (w *Watcher) Alive() bool {
	return time.Since(processStart.Add(time.Duration(w.beat.Load()))) < stuckAfter
}

// processStart is a time from which the monotonic clock is counted.
var processStart = time.Now()

func (w *Watcher) pulse() { w.beat.Store(int64(time.Since(processStart))) }

// Run watches until the context ends, and then returns nil, at once even if a
// file system does not answer. It may be called once.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		w.pulse()
		if err := w.serve(ctx); ctx.Err() == nil {
			w.unavailable(err)
			if !errors.Is(err, errReplaced) && !errors.Is(err, errScanAgain) {
				wait(ctx, min(w.check, retryEvery))
			}
		}
	}
	return nil
}

// serve watches the directory that is there now until it is lost, or ctx done.
// The error, never nil, says why.
func (w *Watcher) serve(ctx context.Context) error {
	if w.notify == nil {
		return w.newForest(nil).run(ctx)
	}
	n := w.notify(w.router)
	defer func() {
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			n.close()
		}()
		select {
		case <-closed:
		case <-time.After(endGrace): // a tree hangs, and perhaps the library
		}
	}()
	return w.newForest(n).run(ctx)
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

// requests are the rescans that somebody waits for. Any goroutine may ask; the
// forest answers.
type requests struct {
	asked wake.Signal // somebody waits

	mu    sync.Mutex
	next  chan struct{}   // closed once a rescan that begins later is done; nil: nobody waits for it
	begun []chan struct{} // closed once a rescan that has begun, or the one after it, is done
}

func newRequests() *requests { return &requests{asked: wake.NewSignal()} }

// ask returns a channel that is closed once a rescan that begins after the call
// is done.
func (r *requests) ask() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next = make(chan struct{})
	}
	r.asked.Set()
	return r.next
}

// begin is called when a rescan begins. It reports whether anybody waits.
func (r *requests) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next != nil {
		r.begun = append(r.begun, r.next)
		r.next = nil
	}
	return len(r.begun) > 0
}

// done answers those for whom a rescan has begun: it is finished, and its result
// is in the View.
func (r *requests) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.begun {
		close(c)
	}
	r.begun = nil
}
