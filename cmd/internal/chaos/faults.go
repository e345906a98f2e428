//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

// floodFiles is how many files are made and removed while a scout is stopped,
// so that the kernel's queue of events, 16,384 as a rule, cannot hold them.
const floodFiles = 9000

// returnTime is how long to try to start a scout. Its connection may be broken, or
// its master down.
const returnTime = 45 * time.Second

// crawlTime is how long a slow disk takes for each request.
const crawlTime = 40 * time.Millisecond

// limitedTo is the number of watches of a scout with a limit.
const limitedTo = 3

// trouble is a kind of fault, and how to cause it.
type trouble struct {
	kind history.Kind
	make func(ctx context.Context, s *scout, d time.Duration) error
}

// injector causes faults. Its seed alone decides their kinds and durations.
type injector struct {
	*rand.Rand
	recorder *recorder
	mutator  *mutator
	master   *master
	bounds   history.Bounds
	side     string        // a directory on the same file system
	peace    *sync.RWMutex // faults of several masters hold it for reading, a rival for writing
}

// programTroubles returns the troubles of a scout and its directory.
func (p *injector) programTroubles(s *scout) []trouble {
	all := []trouble{
		{history.Dead, p.endScout((*program).kill)},
		{history.Dead, p.endScout((*program).stop)},
		{history.Frozen, p.pauseScout},
		{history.Moved, p.moveAway},
		{history.Flooded, p.flood},
	}
	if s.disk == nil {
		all = append(all, trouble{history.Moved, p.replace}) // which removes the directory
	} else {
		hangs, crawls := trouble{history.DiskHangs, p.hang}, trouble{history.DiskCrawls, p.crawl}
		all = append(all, hangs, hangs, hangs, crawls, crawls) // only one scout has a disk
	}
	if s.limits {
		all = append(all, trouble{history.Limited, p.limit})
	}
	return all
}

// linkTroubles returns the troubles of the link between a scout and the master.
func (p *injector) linkTroubles(s *scout) []trouble {
	if s.link.direct() {
		return nil
	}
	all := []trouble{
		{history.Silent, p.condition(history.Silent, testfleet.Condition{Silent: true})},
		{history.Silent, p.condition(history.Silent, testfleet.Condition{Silent: true, Deaf: true})},
		{history.Deaf, p.condition(history.Deaf, testfleet.Condition{Deaf: true})},
		{history.Slow, p.condition(history.Slow, testfleet.Condition{Rate: 64 << 10, Delay: 20 * time.Millisecond})},
	}
	if s.link.cuts() {
		all = append(all, trouble{history.Cut, p.condition(history.Cut, testfleet.Condition{Cut: true})})
	}
	return all
}

// inject causes faults of a scout, one at a time, until ctx is done.
func (p *injector) inject(ctx context.Context, s *scout, troubles []trouble, calm time.Duration) error {
	for {
		t := troubles[p.IntN(len(troubles))]
		length := p.length()
		if !testfleet.Sleep(ctx, p.upTo(calm)) {
			return nil
		}
		if err := t.make(ctx, s, length); err != nil {
			return fmt.Errorf("%s: scout %d: %w", t.kind, s.number, err)
		}
	}
}

// injectMaster causes faults of the master in the same way.
func (p *injector) injectMaster(ctx context.Context, calm time.Duration) error {
	for testfleet.Sleep(ctx, calm/2+p.upTo(calm)) {
		length := p.length()
		strikes := []func(context.Context, time.Duration) error{
			p.endMaster(p.master, history.MasterDead, (*program).kill),
			p.endMaster(p.master, history.MasterDead, (*program).stop),
			p.pauseMaster(p.master, history.MasterFrozen),
		}
		if err := strikes[p.IntN(len(strikes))](ctx, length); err != nil {
			return fmt.Errorf("the master: %w", err)
		}
	}
	return nil
}

// length returns how long a fault lasts: much shorter than the deadline, about as
// long, or so long that a silent scout must be dropped.
func (p *injector) length() time.Duration {
	b := p.bounds
	longest := []time.Duration{b.Deadline / 3, b.Deadline * 5 / 4, 2 * (b.Deadline + b.Heartbeat + b.Slack)}[p.IntN(3)]
	return longest/10 + p.upTo(longest)
}

func (p *injector) upTo(d time.Duration) time.Duration { return time.Duration(p.Int64N(int64(d))) }

// fault causes a fault, waits, and ends it. If ctx is done, it ends the fault at
// once.
func (p *injector) fault(ctx context.Context, f *fault, d time.Duration, begin, end func() error) error {
	if err := begin(); err != nil {
		return err
	}
	f.reach(history.On)
	testfleet.Sleep(ctx, d)
	f.reach(history.Off)
	if err := end(); err != nil {
		return err
	}
	f.reach(history.Over)
	return nil
}

// endScout returns a function that ends a scout in some way and starts it again.
func (p *injector) endScout(end func(*program) error) func(context.Context, *scout, time.Duration) error {
	return func(ctx context.Context, s *scout, d time.Duration) error {
		f := p.recorder.fault(history.Dead, s.number)
		return p.fault(ctx, f, d/2, func() error { return end(&s.program) }, func() error {
			// The scout must come back even if ctx is done.
			returning, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
			defer cancel()
			return s.start(returning)
		})
	}
}

func (p *injector) pauseScout(ctx context.Context, s *scout, d time.Duration) error {
	return p.fault(ctx, p.recorder.fault(history.Frozen, s.number), d,
		s.pause, s.unpause)
}

// endMaster returns a function that ends a master in some way and starts it again.
func (p *injector) endMaster(m *master, kind history.Kind, end func(*program) error) func(context.Context, time.Duration) error {
	return func(ctx context.Context, d time.Duration) error {
		f := p.recorder.fault(kind, history.All)
		return p.fault(ctx, f, d/2, func() error { return end(&m.program) }, m.start)
	}
}

func (p *injector) pauseMaster(m *master, kind history.Kind) func(context.Context, time.Duration) error {
	return func(ctx context.Context, d time.Duration) error {
		return p.fault(ctx, p.recorder.fault(kind, history.All), d, m.pause, m.unpause)
	}
}

// condition returns a function that puts a scout's link into condition c.
func (p *injector) condition(kind history.Kind, c testfleet.Condition) func(context.Context, *scout, time.Duration) error {
	return func(ctx context.Context, s *scout, d time.Duration) error {
		return p.fault(ctx, p.recorder.fault(kind, s.number), d,
			func() error { return s.link.set(c) }, func() error { return s.link.set(testfleet.Condition{}) })
	}
}

// limit limits the number of the scout's watches for a time.
func (p *injector) limit(ctx context.Context, s *scout, d time.Duration) error {
	return p.fault(ctx, p.recorder.fault(history.Limited, s.number), d,
		func() error { return s.limit(limitedTo) }, func() error { return s.limit(1 << 30) })
}

// hang makes the disk below the scout's directory answer no requests.
func (p *injector) hang(ctx context.Context, s *scout, d time.Duration) error {
	return p.fault(ctx, p.recorder.fault(history.DiskHangs, s.number), d, s.disk.Pause, s.disk.Continue)
}

// crawl makes that disk slow.
func (p *injector) crawl(ctx context.Context, s *scout, d time.Duration) error {
	return p.fault(ctx, p.recorder.fault(history.DiskCrawls, s.number), d,
		func() error { return s.disk.Set(testfleet.DiskFaults{Delay: crawlTime}) },
		func() error { return s.disk.Set(testfleet.DiskFaults{}) })
}

// moveAway moves the watched directory away, and back.
func (p *injector) moveAway(ctx context.Context, s *scout, d time.Duration) error {
	t := s.tree
	side := filepath.Join(p.side, fmt.Sprint("away-", s.number))
	return p.fault(ctx, p.recorder.fault(history.Moved, s.number), d, func() error {
		return p.mutator.ask(func() error {
			t.away = true
			return p.mutator.do("mv "+t.path+" "+side, t.names(t.root, "."), nil, func() error { return os.Rename(t.path, side) })
		})
	}, func() error {
		return p.mutator.ask(func() error {
			t.away = false
			return p.mutator.do("mv "+side+" "+t.path, nil, t.names(t.root, "."), func() error { return os.Rename(side, t.path) })
		})
	})
}

// replace moves the watched directory to an unwatched place, and puts an empty
// directory in its place.
func (p *injector) replace(ctx context.Context, s *scout, _ time.Duration) error {
	t := s.tree
	return p.fault(ctx, p.recorder.fault(history.Moved, s.number), 0, func() error {
		return p.mutator.ask(func() error {
			pool := p.mutator.trees[len(p.mutator.trees)-1]
			name := fmt.Sprint("was-", p.recorder.id())
			gone := t.names(t.root, ".")
			pool.root.put(name, t.root)
			t.root = newDir()
			return p.mutator.do("replace "+t.path, gone, nil, func() error {
				if err := os.Rename(t.path, filepath.Join(pool.path, name)); err != nil {
					return err
				}
				return os.Mkdir(t.path, 0o700)
			})
		})
	}, func() error { return nil })
}

// flood stops the scout and causes more events than the kernel can queue for it.
func (p *injector) flood(ctx context.Context, s *scout, _ time.Duration) error {
	return p.fault(ctx, p.recorder.fault(history.Flooded, s.number), 0, func() error {
		if err := s.pause(); err != nil {
			return err
		}
		return p.mutator.ask(func() error { return p.mutator.flood(s.tree) })
	}, s.unpause)
}

// flood makes many files, and removes all but a few.
func (m *mutator) flood(t *tree) error {
	if t.away {
		return nil
	}
	for i := range floodFiles {
		p := place{t, t.root, ".", fmt.Sprint("flood-", i)}
		if p.node() != nil {
			continue // the last flood has left it
		}
		p.parent.put(p.name, new(node))
		if err := m.do("create "+p.disk(), nil, t.names(p.node(), p.name), func() error { return create(p.disk()) }); err != nil {
			return err
		}
		if i%100 == 0 {
			continue
		}
		if err := m.remove(p); err != nil {
			return err
		}
	}
	return nil
}
