//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// consumer reads the list again and again while a test does its worst, and
// fails the test when one is wrong.
type consumer struct {
	t      *testing.T
	master *master
	stop   chan struct{}
	ended  sync.WaitGroup

	mu     sync.Mutex
	away   bool                // the master may be gone
	dead   map[*scout]bool     // of these nothing may be listed
	whole  map[*scout][]string // of these everything or nothing is
	reads  int
	failed error // the first
}

// consume begins to read, until the test ends or is told otherwise.
func consume(t *testing.T, m *master) *consumer {
	t.Helper()
	c := &consumer{t: t, master: m, stop: make(chan struct{}), dead: map[*scout]bool{}, whole: map[*scout][]string{}}
	c.ended.Go(c.run)
	t.Cleanup(c.done)
	return c
}

// set changes what may be listed from now on.
func (c *consumer) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// isDead says that from now on nothing of the scout may be listed.
func (c *consumer) isDead(s *scout) { c.set(func() { c.dead[s] = true }) }

// isBack says that something may be listed of the scout, or its successor.
func (c *consumer) isBack(s *scout) { c.set(func() { delete(c.dead, s) }) }

// isWhole says that the scout's names are these, while any are listed, and
// perhaps others.
func (c *consumer) isWhole(s *scout, names []string) { c.set(func() { c.whole[s] = names }) }

// done ends the reading, once, and reports what was wrong.
func (c *consumer) done() {
	select {
	case <-c.stop:
		return
	default:
		close(c.stop)
	}
	c.ended.Wait()
	if c.failed != nil {
		c.t.Errorf("read %d of the list: %v", c.reads, c.failed)
	}
	if c.reads == 0 {
		c.t.Error("the list was never read")
	}
}

func (c *consumer) run() {
	for pause := time.Duration(0); ; {
		select {
		case <-c.stop:
			return
		case <-time.After(pause):
		}
		began := time.Now()
		if err := c.read(); err != nil {
			c.failed = err
			return
		}
		pause = max(5*time.Millisecond, time.Since(began)) // leave the machine to the programs
	}
}

// read reads the list once. What it must be is what it had to be both before
// and after.
func (c *consumer) read() error {
	c.mu.Lock()
	dead, whole := maps.Clone(c.dead), maps.Clone(c.whole)
	c.mu.Unlock()

	entries, err := c.master.Files()
	c.mu.Lock()
	defer c.mu.Unlock()
	if wrong := (*testfleet.WrongListError)(nil); err != nil && c.away && !errors.As(err, &wrong) {
		return nil
	} else if err != nil {
		return err
	}
	c.reads++
	for s := range dead {
		if names := testfleet.Names(entries, s.host, s.dir); c.dead[s] && len(names) > 0 {
			return fmt.Errorf("%s is gone, and %d of its files are listed: %.99q", s.host, len(names), names[0])
		}
	}
	for s, names := range whole {
		listed := testfleet.Names(entries, s.host, s.dir)
		missing := testfleet.Without(names, listed)
		if c.whole[s] != nil && len(listed) > 0 && len(missing) > 0 {
			return fmt.Errorf("%d of %d names of %s are missing, such as %.99q", len(missing), len(names), s.host, missing[0])
		}
	}
	return nil
}
