//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

// plan is how long and how hard an epoch is.
type plan struct {
	programs testfleet.Programs
	seed     uint64
	scouts   int
	faults   time.Duration // how long there are faults
	rest     time.Duration // how long a scout may have none in between
	calm     time.Duration // and then none at all, before files are left alone too
	scale    float64       // of all bounds
	cables   bool          // networks of their own, rather than proxies
	master   bool          // faults of the master too
	limits   bool          // scouts may be short of watches
	history  string        // the file for it
}

// epoch is one fleet, from its start to its end.
type epoch struct {
	plan
	*rand.Rand

	dir      string
	bounds   history.Bounds
	recorder *recorder
	vandal   *vandal
	master   *master
	scouts   []*scout
}

// result is what came of an epoch.
type result struct {
	verdict
	faults     map[history.Kind]int
	complaints []string
}

// play runs an epoch. An error is one of this program, rather than of those
// that it is about.
func (p plan) play(ctx context.Context) (result, error) {
	e := &epoch{plan: p, Rand: rand.New(rand.NewPCG(p.seed, 0)), recorder: newRecorder()}
	defer e.close()
	file, err := os.Create(p.history)
	if err != nil {
		return result{}, err
	}
	defer file.Close() //nolint:errcheck // the judge has flushed it
	if err := e.start(ctx); err != nil {
		return result{}, err
	}
	stop := make(chan struct{})
	var judging errgroup.Group
	var r result
	judging.Go(func() (err error) {
		r.verdict, err = e.recorder.judge(e.bounds, file, stop)
		return err
	})
	judging.Go(func() error {
		e.recorder.beat(stop)
		return nil
	})
	wrong := e.run(ctx)
	close(stop)
	if err := judging.Wait(); err != nil {
		return result{}, err
	}
	r.faults = e.recorder.counts
	r.complaints = e.stop()
	if wrong != nil {
		r.complaints = append(r.complaints, wrong.Error())
	}
	return r, nil
}

// run lets everything happen. It returns what could not be done though it
// should, or how the list differs from the truth in the end.
func (e *epoch) run(ctx context.Context) error {
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	var consumers sync.WaitGroup
	defer consumers.Wait()
	defer stopReading()
	for _, c := range e.consumers() {
		consumers.Go(func() { c.follow(reading) })
	}
	for _, w := range e.watchers() {
		consumers.Go(func() { w.follow(reading) })
	}
	calm := make(chan struct{})
	var raging errgroup.Group
	raging.Go(func() error {
		err := e.vandal.rage(calm)
		e.vandal.serve(calm) // or those who ask would wait for ever
		return err
	})
	err := e.torment(ctx)
	testfleet.Sleep(ctx, e.calm)
	close(calm)
	if err := errors.Join(err, raging.Wait()); err != nil {
		return err
	}
	return e.converge()
}

// torment makes faults, and returns when all have been ended.
func (e *epoch) torment(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, e.faults)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for i, s := range e.scouts {
		if i%2 == 1 {
			continue // somebody has to be well
		}
		a, b := e.plague(2*i+1), e.plague(2*i+2)
		programs, links := a.programTroubles(s), a.linkTroubles(s)
		rest := e.rest / time.Duration(1+e.IntN(4))
		if e.IntN(3) == 0 { // both at once
			group.Go(func() error { return a.haunt(ctx, s, programs, rest) })
			group.Go(func() error { return b.haunt(ctx, s, links, rest) })
			continue
		}
		group.Go(func() error { return a.haunt(ctx, s, append(programs, links...), rest) })
	}
	if e.plan.master {
		p := e.plague(0)
		group.Go(func() error { return p.hauntMaster(ctx, e.faults/3) })
	}
	return group.Wait()
}

// plague is one whose faults depend on nothing but the seed and its number.
func (e *epoch) plague(number int) *plague {
	return &plague{
		Rand:     rand.New(rand.NewPCG(e.seed, uint64(number)+2)),
		recorder: e.recorder, vandal: e.vandal, master: e.master,
		bounds: e.bounds, side: filepath.Join(e.dir, "side"),
	}
}

func (e *epoch) consumers() []*consumer {
	all := []*consumer{
		{name: "all", pause: 20 * time.Millisecond},
		{name: "gzip", gzip: true, pause: 150 * time.Millisecond},
		{name: "prefix", prefix: "a", pause: 70 * time.Millisecond},
		{name: "conditional", conditional: true, pause: 100 * time.Millisecond},
	}
	for _, c := range all {
		c.recorder, c.address, c.origins = e.recorder, e.master.http, e.origins()
		c.client.Timeout = e.bounds.Answer
	}
	return all
}

func (e *epoch) origins() origins {
	o := origins{}
	for _, s := range e.scouts {
		o[origin{s.host, s.tree.path}] = s.number
	}
	return o
}

// watchers are the consumers that are told what comes and goes.
func (e *epoch) watchers() []*watcher {
	all := []*watcher{{name: "events", format: eventStream}, {name: "lines", format: eventLines}}
	for i, w := range all {
		w.Rand = rand.New(rand.NewPCG(e.seed, uint64(100+i)))
		w.recorder, w.address, w.origins, w.fresh = e.recorder, e.master.http, e.origins(), e.bounds.Fresh
	}
	return all
}

// start makes the directories and starts the programs.
func (e *epoch) start(ctx context.Context) (err error) {
	if e.dir, err = os.MkdirTemp("", "scout-chaos-"); err != nil {
		return err
	}
	for _, dir := range []string{"side", "pool"} {
		if err := os.Mkdir(filepath.Join(e.dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := e.startMaster(); err != nil {
		return err
	}
	e.vandal = &vandal{Rand: rand.New(rand.NewPCG(e.seed, 1)), recorder: e.recorder, asked: make(chan request)}
	for i := range e.plan.scouts {
		s, err := e.newScout(i)
		if err != nil {
			return err
		}
		e.scouts = append(e.scouts, s)
		e.vandal.trees = append(e.vandal.trees, s.tree)
	}
	pool := &tree{path: filepath.Join(e.dir, "pool"), root: newDir(), scout: history.All}
	e.vandal.trees = append(e.vandal.trees, pool)
	var starting errgroup.Group
	for _, s := range e.scouts {
		starting.Go(func() error { return s.start(ctx) })
	}
	return starting.Wait()
}

// startMaster starts the master, with one of a few settings.
func (e *epoch) startMaster() error {
	settings := []struct{ heartbeat, deadline time.Duration }{
		{500 * time.Millisecond, 1500 * time.Millisecond}, {time.Second, 3 * time.Second}, {300 * time.Millisecond, time.Second},
	}
	set := settings[e.IntN(len(settings))]
	e.bounds = history.Usual(set.heartbeat, set.deadline, e.scale)
	e.master = &master{programs: e.programs, args: []string{
		"-heartbeat", set.heartbeat.String(), "-deadline", set.deadline.String(),
	}}
	if e.cables {
		e.master.args = append(e.master.args, "-grpc", ":0", "-insecure")
	}
	return e.master.start()
}

// newScout makes a scout of some kind, with its directory and its link.
func (e *epoch) newScout(number int) (*scout, error) {
	t := &tree{path: filepath.Join(e.dir, fmt.Sprint("tree-", number), "watched"), root: newDir(), scout: number, recursive: true}
	if err := os.MkdirAll(t.path, 0o700); err != nil {
		return nil, err
	}
	poll := []string{"1h", "1h", "1s", "300ms"}[e.IntN(4)]
	if e.limits {
		poll = "500ms"
	}
	s := &scout{
		number: number, programs: e.programs, host: fmt.Sprint("host-", number%3), tree: t,
		args: []string{"-poll", poll}, limits: e.limits,
	}
	if number%6 == 5 {
		t.recursive = false
		s.args = append(s.args, "-recursive=false")
	}
	if number%4 == 3 {
		t.exclude = []string{"**/*.tmp", "cache", "**/d/**"}
		for _, x := range t.exclude {
			s.args = append(s.args, "-exclude", x)
		}
	}
	if e.cables {
		s.args = append(s.args, "-insecure")
	}
	var err error
	s.link, err = newLink(e.master, e.cables)
	return s, err
}

// stop ends all programs and returns what no program may do.
func (e *epoch) stop() (complaints []string) {
	programs := []*program{&e.master.program}
	for _, s := range e.scouts {
		programs = append(programs, &s.program)
	}
	var stopping sync.WaitGroup
	for i := range programs {
		p := programs[len(programs)-1-i]
		stopping.Go(func() { p.stop() }) //nolint:errcheck // it complains, too
		if i == len(e.scouts)-1 {
			stopping.Wait() // the master last
		}
	}
	stopping.Wait()
	for i, p := range programs {
		for _, c := range p.complaint {
			complaints = append(complaints, fmt.Sprintf("scout %d %s", i-1, c))
		}
	}
	return complaints
}

// close removes everything, however far it has come.
func (e *epoch) close() {
	for _, s := range e.scouts {
		if s.process != nil && !s.process.Ended() {
			s.process.Kill()
		}
		s.link.Close()
	}
	if e.master != nil && e.master.process != nil && !e.master.process.Ended() {
		e.master.process.Kill()
	}
	os.RemoveAll(e.dir) //nolint:errcheck // it lies in the directory for temporary files
}
