package watch

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/throttle"
)

const (
	// checkEvery is how often the watched directory itself is checked,
	// retryEvery while it cannot be served.
	checkEvery = time.Second
	retryEvery = 250 * time.Millisecond
	// yieldInterval is after how many directories a rescan pauses to follow events.
	yieldInterval = 64
	// patrolShare is the share of one core that goes into the verification of
	// watched directories.
	patrolShare = 0.01
)

// patrol verifies the watched directories in turn, a few at each poll.
type patrol struct {
	budget   *throttle.Budget
	next     *directory    // may have left the tree meanwhile; nil: the next round begins
	verified int           // in this round
	began    time.Time     // when this round did
	round    time.Duration // that one takes, as far as is known
}

// run scans the tree and follows its changes until it is lost or to end. The
// error, never nil, says why.
func (t *tree) run(ctx context.Context) error {
	t.ctx = ctx
	defer t.recovery.stop()
	if err := t.begin(); err != nil {
		return err
	}
	defer t.disk.close()
	err := t.firstScan()
	switch {
	case err == nil:
		return t.loop()
	case isGone(err) && !t.isHome():
		return t.park()
	}
	return err
}

// park waits until it is time to look again at a mount that has no directory: a
// file, for instance, which the outer tree lists.
func (t *tree) park() error {
	t.forest.enter(t, treeListed)
	t.answer(t.wanted.Load())
	again := time.After(t.forest.poll)
	for {
		select {
		case <-t.ctx.Done():
			return errHalted
		case <-t.asked:
			t.answer(t.wanted.Load())
		case <-t.events.ready:
			return errScanAgain
		case <-again:
			return errScanAgain
		}
	}
}

// begin waits for the outer tree, and opens the directory.
func (t *tree) begin() (err error) {
	t.calls.enter() // all of this may hang
	defer t.calls.leave()
	claim := t.forest.claim
	if t.isHome() {
		if err := claim.renew(); err != nil {
			return err
		}
	} else {
		select {
		case <-t.ctx.Done():
			return errHalted
		case <-t.cleared:
		}
	}
	if t.disk, err = openDisk(claim, &t.calls, t.isHome()); err != nil {
		return reason(err)
	}
	t.mountID, _ = t.disk.mountID(t.path)
	return nil
}

func (t *tree) isHome() bool { return t.path == "" }

// halted reports whether whatever is under way is moot.
func (t *tree) halted() bool {
	t.alive.Add(1)
	return t.ctx.Err() != nil
}

// firstScan lists all that is there.
func (t *tree) firstScan() error {
	began := time.Now()
	wanted := t.wanted.Load()
	t.forest.enter(t, treeScanning)
	t.events.take()
	var names files.Builder
	err := t.scan(t.root, func(_ *directory, name []byte) {
		names.Add(name)
		t.found.Add(1)
	})
	switch {
	case err != nil && t.ctx.Err() == nil && t.isHome():
		return reason(err)
	case err != nil && (t.ctx.Err() != nil || isGone(err)):
		return err
	case err != nil: // a mount that cannot be read
		t.admit(t.root, &reading{listing: &listing{}, err: err})
	}
	if t.set, err = t.forest.addAll(t, names.Set()); err != nil {
		return err
	}
	t.log.Info("directory scanned", zap.Int64("files", t.found.Load()), zap.Float64("seconds", time.Since(began).Seconds()))
	t.forest.enter(t, treeListed)
	t.answer(wanted)
	return nil
}

// loop keeps what is known true. The first change after a quiet time is shown at
// once, and what comes meanwhile together next.
func (t *tree) loop() error {
	check := time.NewTicker(t.forest.check)
	defer check.Stop()
	poll := time.NewTimer(t.forest.poll)
	defer poll.Stop()
	ready, rest := t.events.ready, (<-chan time.Time)(nil)
	asked, again := t.asked, (<-chan time.Time)(nil)
	now := make(chan struct{})
	close(now)
	t.startWatching()
	for {
		t.followGenerations()
		if err := t.settle(); err != nil {
			return err
		}
		pending := now
		if !t.canWatch() {
			pending = nil
		}
		select {
		case <-t.ctx.Done():
			return errHalted
		case <-ready:
			if took := t.round(); t.recovery.active {
				ready, rest = nil, time.After(took) // half the time at most, in a flood
			}
		case <-rest:
			ready, rest = t.events.ready, nil
		case <-asked:
			asked, again = nil, time.After(t.answerRescan())
		case <-again:
			asked, again = t.asked, nil
		case <-t.recovery.timer.C:
			t.recover()
			poll.Reset(t.forest.poll)
		case <-poll.C:
			t.poll()
			poll.Reset(t.forest.poll)
		case <-pending:
			t.watchSome()
		case <-check.C:
			t.suspect = t.suspect || t.isHome()
		}
		t.alive.Add(1)
	}
}

// round follows the events that there are, and returns how long that took.
func (t *tree) round() time.Duration {
	began := time.Now()
	found := t.events.take()
	t.suspect = t.suspect || found.self
	if found.stale {
		t.root.each(t.unwatch)
	}
	if found.lost && t.notifier != nil {
		t.recovery.lost()
	}
	t.follow(found)
	return time.Since(began)
}

// settle shows what has changed. Its error says that the tree has to be given
// up.
func (t *tree) settle() error {
	t.findStrayed()
	t.commit()
	if t.broken != nil {
		return fmt.Errorf("%w again", errScanAgain)
	}
	if t.suspect {
		t.suspect = false
		if err := t.checkRoot(); err != nil {
			return err
		}
	}
	t.forest.publish(t)
	return nil
}

// checkRoot checks the tree's own directory.
func (t *tree) checkRoot() error {
	if !t.isHome() {
		return t.checkMount()
	}
	t.calls.enter()
	err := t.forest.claim.checkPath()
	t.calls.leave()
	if err != nil && !isShortage(err) {
		return err
	}
	t.short = t.short || err != nil
	if f := t.flaws[t.root]; f.err != nil {
		return reason(f.err)
	}
	return nil
}

// checkMount sees whether another file system is mounted here by now, even the
// same one again. What watched the old one is dead.
func (t *tree) checkMount() error {
	id, unique := t.disk.mountID(t.path)
	switch {
	case unique && id != t.mountID:
		return errReplaced
	case !unique:
		t.root.each(t.unwatch)
	}
	return nil
}

// answerRescan rescans for those who wait for it, and returns for how long the
// next who ask have to wait: half the time at most goes into answers.
func (t *tree) answerRescan() time.Duration {
	began := time.Now()
	wanted := t.wanted.Load()
	if t.answered.Load() >= wanted {
		return 0
	}
	if t.rescan() {
		t.answer(wanted)
		return time.Since(began)
	}
	t.asked.Set() // once more
	return max(time.Since(began), retryEvery)
}

func (t *tree) answer(wanted uint64) {
	t.answered.Store(wanted)
	t.forest.answered.Set()
}

// recover rescans because events may have been lost.
func (t *tree) recover() {
	began := time.Now()
	t.recovery.begin()
	t.rescan()
	t.recovery.end(time.Since(began))
}

// rescan verifies every directory, parents first, trusting only what proves
// itself, and reports whether everything was seen and shown.
func (t *tree) rescan() bool {
	t.demand, t.short, t.suspect = trustStamp, false, true
	defer func() {
		if !t.recovery.active {
			t.demand = trustEvents
		}
	}()
	if t.settle() != nil {
		t.suspect = true // the loop will see it too
		return false
	}
	if !t.verifyEach(t.directories(func(*directory) bool { return true })) {
		return false
	}
	if t.settle() != nil {
		t.suspect = true
		return false
	}
	return !t.short
}

// directories returns those that are wanted, parents first.
func (t *tree) directories(wanted func(*directory) bool) []*directory {
	return t.collect(make([]*directory, 0, t.size), wanted)
}

// collect appends those that are wanted to all, parents first.
func (t *tree) collect(all []*directory, wanted func(*directory) bool) []*directory {
	t.root.each(func(d *directory) {
		if wanted(d) {
			all = append(all, d)
		}
	})
	return all
}

// verifyEach reports whether it came to an end.
func (t *tree) verifyEach(all []*directory) bool {
	for i, d := range all {
		t.verify(d)
		if i%yieldInterval == yieldInterval-1 && !t.yield() {
			return false
		}
	}
	return true
}

// yield follows events in the middle of something long, and shows what changed.
// It reports whether to go on.
func (t *tree) yield() bool {
	select {
	case <-t.events.ready:
		t.round()
	default:
	}
	if t.halted() {
		return false
	}
	if t.settle() != nil {
		t.suspect = true
		return false
	}
	return true
}

// poll verifies what events alone do not tell of, and a part of the rest.
func (t *tree) poll() {
	began := time.Now()
	t.set = t.forest.current() // or an idle tree would keep an old version
	t.limits.retry()
	pending := len(t.unwatched) > 0
	all := t.doubtful()
	if len(all) == 0 {
		t.limits.relieved()
	}
	t.short = false
	t.verifyEach(all)
	for _, d := range all {
		if !pending && !d.detached && !d.watched && t.notifier != nil {
			t.unwatched = append(t.unwatched, d) // it may work by now
		}
	}
	t.patrolSome()
	if t.patrol.round < t.forest.poll {
		t.patrol.round = roughly(t.patrol.round, t.forest.poll+time.Since(began))
	}
}

// doubtful returns the directories whose changes no event may tell of, parents
// first. It passes over the parts of the tree where there are none.
func (t *tree) doubtful() (all []*directory) {
	if t.short { // any directory may not have been looked at
		return t.directories(t.isDoubtful)
	}
	var below func(d *directory)
	below = func(d *directory) {
		if d.polled == 0 {
			return
		}
		if t.isDoubtful(d) {
			all = append(all, d)
		}
		for _, s := range d.subs {
			below(s)
		}
	}
	below(t.root)
	for d := range t.flaws {
		if !t.isPolled(d) && t.isDoubtful(d) {
			all = append(all, d)
		}
	}
	return all
}

func (t *tree) isDoubtful(d *directory) bool { return t.isPolled(d) || d.trust == trustNothing }

// patrolSome verifies watched directories within the budget.
func (t *tree) patrolSome() {
	p := &t.patrol
	if p.next == nil {
		p.next, p.verified, p.began = t.root, 0, time.Now()
	}
	began := time.Now()
	for credit := p.budget.Credit(); p.next != nil; {
		if p.verified%16 == 0 && time.Since(began) > credit {
			break
		}
		if d := p.next; !t.isDoubtful(d) {
			t.verify(d)
		}
		p.next = p.next.following()
		p.verified++
		if p.verified%yieldInterval == 0 && !t.yield() {
			break
		}
	}
	p.budget.Spend(time.Since(began))
	switch so := time.Since(p.began) + t.forest.poll; {
	case p.next == nil:
		p.round = roughly(p.round, so)
	case p.verified > 0:
		p.round = roughly(p.round, max(p.round, so*time.Duration(t.size/p.verified)))
	}
}

// roughly returns now, rounded, or what was shown before if that is not far off,
// so that people are not told of each small difference.
func roughly(before, now time.Duration) time.Duration {
	unit := 100 * time.Millisecond
	if now < time.Second {
		unit = time.Millisecond
	}
	now = now.Round(unit)
	if now > before-before/4 && now < before+before/4 {
		return before
	}
	return now
}
