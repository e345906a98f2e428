//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
)

// mix is how the names of the scouts of a fleet relate to each other.
type mix struct {
	name  string
	shape filestest.Shape
}

var (
	alike       = mix{"alike", filestest.Same}
	apart       = mix{"apart", filestest.Apart}
	interleaved = mix{"interleaved", filestest.Interleaved}
)

// stage is a scoutmaster and its played scouts.
type stage struct {
	point   point
	mix     mix
	master  *testfleet.Master
	idle    int64 // the master's memory in bytes before the first request
	sources []*testfleet.Directory
	changes int // made so far

	leave context.CancelFunc // ends the fleet
	left  chan struct{}      // closed when it has ended
	err   error              // why the fleet ended; valid after left is closed
}

// staged returns the stage for a point. It may be the previous stage.
func (l *lab) staged(ctx context.Context, p point, m mix) (*stage, error) {
	if s := l.stage; s != nil && s.point == p && s.mix.name == m.name && !s.master.Ended() {
		return s, nil
	}
	l.dropStage()
	s, err := l.newStage(ctx, p, m)
	l.stage = s
	return s, err
}

func (l *lab) dropStage() {
	if l.server != nil {
		l.server.stop()
		l.server = nil
	}
	if l.stage != nil {
		l.stage.close()
		l.stage = nil
	}
}

// newStage returns a new stage, which the caller must close.
func (l *lab) newStage(ctx context.Context, p point, m mix) (*stage, error) {
	if err := roomFor(p.files); err != nil {
		return nil, err
	}
	l.log("playing %s, %s", p, m.name)
	s := &stage{point: p, mix: m, sources: make([]*testfleet.Directory, p.scouts)}
	var group errgroup.Group
	group.SetLimit(2)
	for i := range s.sources {
		group.Go(func() error {
			s.sources[i] = testfleet.NewDirectory(filestest.Names(i, p.files/p.scouts, m.shape))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := s.start(ctx, l); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// start starts the master and the fleet, and waits until all files are listed and
// merged.
func (s *stage) start(ctx context.Context, l *lab) (err error) {
	if s.master, err = l.programs.StartMaster(); err != nil {
		return err
	}
	context.AfterFunc(ctx, s.master.Kill)
	ctx, s.leave = context.WithCancel(ctx)
	s.left = make(chan struct{})
	f := testfleet.PlayedScouts{Masters: []string{s.master.GRPC}, Directories: s.sources}
	go func() {
		defer close(s.left)
		s.err = f.Run(ctx)
	}()
	if _, err := s.listed(); err != nil {
		return err
	}
	if err := s.master.Rest(ctx, time.Minute); err != nil {
		return err
	}
	s.idle, err = s.master.Resident()
	return err
}

func (s *stage) close() {
	if s.leave != nil {
		s.leave()
		<-s.left
	}
	if s.master != nil {
		s.master.Kill()
	}
}

// listTime is how long a list may take to be complete.
const listTime = 5 * time.Minute

// listed waits until the master lists every scout, and returns the time of the last.
func (s *stage) listed() (time.Time, error) {
	seen, from := map[string]bool{}, 0
	for end := time.Now().Add(listTime); time.Now().Before(end); {
		_, err := s.master.Await(time.Second, from, func(e testfleet.Event) bool {
			from++
			if e.Msg() == "files synced" {
				seen[e.Text("host")] = true
			}
			return len(seen) == len(s.sources)
		})
		switch {
		case err == nil:
			return time.Now(), nil
		case !errors.Is(err, testfleet.ErrTimeout):
			return time.Time{}, err
		}
		select {
		case <-s.left:
			return time.Time{}, fmt.Errorf("wait for %d scouts, %d were listed: the fleet has ended: %w", len(s.sources), len(seen), s.err)
		default:
		}
	}
	return time.Time{}, fmt.Errorf("wait for %d scouts, %d are listed: %w", len(s.sources), len(seen), testfleet.ErrTimeout)
}

// change adds a file to one of the scouts and waits until it is listed.
func (s *stage) change(a *asker) error {
	s.changes++
	source := s.sources[s.changes%len(s.sources)]
	name := fmt.Sprintf("region/team-0000/service/d00000/new-%06d", s.changes)
	if s.mix.name == interleaved.name {
		name = fmt.Sprintf("team/services/d%05d/new-%06d", s.changes*7919%10_000, s.changes)
	}
	if err := source.Add(name); err != nil {
		return err
	}
	return a.await(name, []byte(name), time.Now().Add(10*time.Second))
}

var errNotSeen = errors.New("a change was not seen in time")
