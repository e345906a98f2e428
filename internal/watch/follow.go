package watch

import (
	"context"
	"fmt"
	"time"
)

// following is the Watcher's loop over one tree.
type following struct {
	*Watcher
	tree  *tree
	doubt *doubt

	order    []*directory // of the last look everywhere
	verified int          // how far the rare listing has come in it
	allowed  int          // entries that it may list
	counted  time.Time    // when that was counted
}

// follow keeps the View true until the directory is lost. The first change
// after a quiet time is shown at once, and what comes meanwhile together next.
func (w *Watcher) follow(ctx context.Context, t *tree) error {
	f := &following{Watcher: w, tree: t, doubt: newDoubt(w.log), counted: time.Now()}
	defer f.doubt.stop()
	check := time.NewTicker(w.check)
	defer check.Stop()
	poll := time.NewTimer(w.poll)
	defer poll.Stop()
	ready, rest := w.hints.ready, (<-chan time.Time)(nil)
	asked, again := w.requests.asked, (<-chan time.Time)(nil)
	for {
		select {
		case <-ctx.Done():
			return errHalted
		case <-ready:
			if took := f.round(); f.doubt.active {
				ready, rest = nil, time.After(took) // half the time at most, in a flood
			}
		case <-rest:
			ready, rest = w.hints.ready, nil
		case <-asked:
			asked, again = nil, time.After(f.answer())
		case <-again:
			asked, again = w.requests.asked, nil
		case <-f.doubt.timer.C:
			f.retake()
			poll.Reset(w.poll)
		case <-poll.C:
			f.limits.retry()
			f.retake()
			f.verify()
			if t.polled == 0 {
				f.limits.relieved()
			}
			poll.Reset(w.poll)
		case <-check.C:
			t.astray = true
		}
		if err := f.settle(); err != nil {
			return err
		}
	}
}

// round follows the hints that there are, and returns how long that took.
func (f *following) round() time.Duration {
	began := time.Now()
	found := f.hints.take()
	f.tree.astray = f.tree.astray || found.self
	if found.lost {
		f.doubt.raise()
	}
	f.trust()
	f.tree.follow(found)
	return time.Since(began)
}

// settle shows what has changed. Its error says that the tree has to be given
// up.
func (f *following) settle() error {
	t := f.tree
	t.tidy()
	t.commit()
	if t.broken != nil {
		return fmt.Errorf("%w again", errScanAgain)
	}
	if t.astray {
		err := f.claim.check()
		if err != nil && !isShortage(err) {
			return err
		}
		t.astray, t.short = false, t.short || err != nil
	}
	f.publish(t)
	return nil
}

// answer looks everywhere for those who wait for it, and returns for how long
// the next who ask have to: half the time at most goes into answers.
func (f *following) answer() time.Duration {
	if !f.requests.waiting() {
		return 0
	}
	began := time.Now()
	f.lookEverywhere()
	took := time.Since(began)
	if f.requests.waiting() { // for the next look, or because this one was cut short
		f.requests.wake()
		return max(took, f.retry())
	}
	return took
}

// retry is for how long a look that could not see everything had better not be
// repeated.
func (f *following) retry() time.Duration {
	if f.tree.short {
		return retryEvery
	}
	return 0
}

// retake looks everywhere, also for what was lost.
func (f *following) retake() {
	began := time.Now()
	f.doubt.begin()
	f.lookEverywhere()
	f.doubt.end(time.Since(began))
	f.trust()
}

// trust says how far stamps can be trusted.
func (f *following) trust() { f.tree.doubt = f.doubt.active || f.tree.asked }

// lookEverywhere looks at every directory, parents first, and follows hints now
// and then. When it has seen and shown everything it answers who waits for that.
func (f *following) lookEverywhere() {
	t := f.tree
	t.asked, t.short, t.astray = f.requests.begin(), false, true
	if f.settle() != nil {
		return // or all below would be taken for gone
	}
	f.trust()
	whole := f.lookAtEach() && f.settle() == nil
	if whole && !t.short {
		f.requests.done()
	}
	t.asked = false
	f.trust()
}

// lookAtEach reports whether it came to an end.
func (f *following) lookAtEach() bool {
	moved := f.tree.anchors.moved()
	f.order = f.order[:0]
	f.tree.root.each(func(d *directory) {
		f.order = append(f.order, d)
		if moved {
			d.stirs++
		}
	})
	for i, d := range f.order {
		f.tree.look(d)
		if i%breath == breath-1 && !f.breathe() {
			return false
		}
	}
	return true
}

// breathe follows hints in the middle of a look everywhere, and shows what
// changed. It reports whether to go on.
func (f *following) breathe() bool {
	select {
	case <-f.hints.ready:
		f.round()
	default:
	}
	return !f.tree.halted() && f.settle() == nil
}

// verifyRate is how many entries a second are listed although nothing seems to
// have changed. A million files take a few hours.
const verifyRate = 100

// verify lists a few directories of those just looked at, in turn, for what no
// hint and no stamp shows: this costs some ten-thousandths of one processor.
func (f *following) verify() {
	now := time.Now()
	f.allowed += int(now.Sub(f.counted) * verifyRate / time.Second)
	f.counted = now
	for range f.order {
		d := f.order[f.verified%len(f.order)]
		cost := int(d.entries) + breath
		if cost > f.allowed {
			return
		}
		f.allowed -= cost
		f.verified++
		if !d.detached && !d.denied {
			f.tree.relist(d, false)
		}
	}
	f.allowed = 0
}
