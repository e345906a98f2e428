//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

// plan configures a run.
type plan struct {
	programs   testfleet.Programs
	seed       uint64
	scouts     int
	faults     time.Duration // how long faults are injected
	rest       time.Duration // the longest time between two faults of a scout
	calm       time.Duration // how long files still change after the last fault
	scale      float64       // of all bounds
	namespaces bool          // network namespaces besides proxies
	master     bool          // faults of the master too
	nats       string        // path of nats-server: three masters share the list over three of them
	limits     bool          // the number of watches of scouts can be limited
	disks      bool          // some disks hang or are slow
	rivals     bool          // scouts of one host and directory come to several masters
	history    string        // the path of its file
}

// run is one run of a fleet, from its start to its end.
type run struct {
	plan
	*rand.Rand

	dir      string
	bounds   history.Bounds
	peace    sync.RWMutex // see injector
	recorder *recorder
	mutator  *mutator
	masters  []*master
	servers  *servers // of NATS, or nil
	scouts   []*scout
}

// result is the result of a run.
type result struct {
	verdict
	faults     map[history.Kind]int
	complaints []string
}

// play makes a run. An error is a failure of this program, not of the tested ones.
func (p plan) play(ctx context.Context) (result, error) {
	e := &run{plan: p, Rand: rand.New(rand.NewPCG(p.seed, 0)), recorder: newRecorder()}
	defer e.close()
	file, err := os.Create(p.history)
	if err != nil {
		return result{}, err
	}
	defer file.Close() //nolint:errcheck // the judge has flushed it
	if err := e.start(ctx); errors.Is(err, errNoStart) {
		return result{verdict: verdict{checker: history.NewChecker(e.bounds)}, complaints: []string{err.Error()}}, nil
	} else if err != nil {
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
	wrong := e.perform(ctx)
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

// perform changes files, injects faults and reads lists. It returns an error if an
// operation failed that must work, or if the list is wrong in the end.
func (r *run) perform(ctx context.Context) error {
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	var consumers sync.WaitGroup
	defer consumers.Wait()
	defer stopReading()
	for _, c := range r.consumers() {
		consumers.Go(func() { c.follow(reading) })
	}
	for _, w := range r.watchers() {
		consumers.Go(func() { w.follow(reading) })
	}
	calm := make(chan struct{})
	var mutating errgroup.Group
	mutating.Go(func() error {
		err := r.mutator.mutate(calm)
		r.mutator.serve(calm) // otherwise callers of ask would wait for ever
		return err
	})
	err := r.injectFaults(ctx)
	testfleet.Sleep(ctx, r.calm)
	close(calm)
	if err := errors.Join(err, mutating.Wait()); err != nil {
		return err
	}
	return r.converge()
}

// injectFaults injects faults, and returns when all have ended.
func (r *run) injectFaults(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.faults)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	var bystanders []*scout // have no faults of their own
	for i, s := range r.scouts {
		if i%2 == 1 {
			bystanders = append(bystanders, s)
			continue
		}
		a, b := r.injector(2*i+1), r.injector(2*i+2)
		programs, links := a.programTroubles(s), a.linkTroubles(s)
		rest := r.rest / time.Duration(1+r.IntN(4))
		if r.IntN(3) == 0 && len(links) > 0 { // both at once
			group.Go(func() error { return a.inject(ctx, s, programs, rest) })
			group.Go(func() error { return b.inject(ctx, s, links, rest) })
			continue
		}
		group.Go(func() error { return a.inject(ctx, s, append(programs, links...), rest) })
	}
	p := r.injector(0)
	switch {
	case r.servers != nil:
		q := r.injector(1000)
		group.Go(func() error { return p.injectMasters(ctx, r.masters, bystanders, r.servers, min(r.rest, busyRest)) })
		group.Go(func() error { return q.injectServers(ctx, r.servers, min(r.rest, busyRest)) })
		if rivals := r.injector(1001); r.rivals {
			group.Go(func() error { return rivals.injectRivals(ctx, r, bystanders) })
		}
	case r.plan.master:
		group.Go(func() error { return p.injectMaster(ctx, r.faults/3) })
	}
	return group.Wait()
}

// injector returns an injector that depends only on the seed and a number.
func (r *run) injector(number int) *injector {
	return &injector{
		Rand:     rand.New(rand.NewPCG(r.seed, uint64(number)+2)),
		recorder: r.recorder, mutator: r.mutator, master: r.masters[0],
		bounds: r.bounds, side: filepath.Join(r.dir, "side"), peace: &r.peace,
	}
}

func (r *run) consumers() []*consumer {
	all := []*consumer{
		{name: "all", pause: 20 * time.Millisecond},
		{name: "gzip", gzip: true, pause: 150 * time.Millisecond},
		{name: "prefix", prefix: "a", pause: 70 * time.Millisecond},
		{name: "conditional", conditional: true, pause: 100 * time.Millisecond},
	}
	for i, c := range all {
		c.recorder, c.address, c.origins = r.recorder, r.hop(uint64(200+i)), r.origins()
		c.client.Timeout = r.bounds.Answer
	}
	return all
}

// hop returns the address of any master at each call.
func (r *run) hop(number uint64) func() string {
	random := rand.New(rand.NewPCG(r.seed, number))
	return func() string { return r.masters[random.IntN(len(r.masters))].http }
}

func (r *run) origins() origins {
	o := origins{}
	for _, s := range r.scouts {
		o[origin{s.host, s.tree.path}] = s.number
	}
	return o
}

// watchers returns the consumers of events.
func (r *run) watchers() []*watcher {
	all := []*watcher{{name: "events", format: eventStream}, {name: "lines", format: eventLines}}
	for i, w := range all {
		w.Rand = rand.New(rand.NewPCG(r.seed, uint64(100+i)))
		w.recorder, w.address, w.origins, w.fresh = r.recorder, r.hop(uint64(300+i)), r.origins(), r.bounds.Fresh
	}
	return all
}

// start makes the directories and starts the programs.
func (r *run) start(ctx context.Context) (err error) {
	if r.dir, err = os.MkdirTemp("", "scout-chaos-"); err != nil {
		return err
	}
	for _, dir := range []string{"side", "pool"} {
		if err := os.Mkdir(filepath.Join(r.dir, dir), 0o700); err != nil {
			return err
		}
	}
	if err := r.startMasters(); err != nil {
		return err
	}
	r.mutator = &mutator{Rand: rand.New(rand.NewPCG(r.seed, 1)), recorder: r.recorder, asked: make(chan request)}
	for i := range r.plan.scouts {
		s, err := r.newScout(i)
		if err != nil {
			return err
		}
		r.scouts = append(r.scouts, s)
		r.mutator.trees = append(r.mutator.trees, s.tree)
	}
	if r.disks {
		if err := r.mountDisk(r.scouts[0]); err != nil {
			return err
		}
	}
	pool := &tree{path: filepath.Join(r.dir, "pool"), root: newDir(), scout: history.All}
	r.mutator.trees = append(r.mutator.trees, pool)
	return r.startScouts(ctx)
}

// errNoStart says that the tested programs do not even start.
var errNoStart = errors.New("a scout has not registered before the first fault")

func (r *run) startScouts(ctx context.Context) error {
	in, cancel := context.WithTimeoutCause(ctx, 2*startTime, errNoStart)
	defer cancel()
	var starting errgroup.Group
	for _, s := range r.scouts {
		starting.Go(func() error {
			if err := s.start(in); err != nil {
				return errors.Join(err, context.Cause(in))
			}
			return nil
		})
	}
	return starting.Wait()
}

// startMasters starts the master, or several that share the list, with one of a few
// settings.
func (r *run) startMasters() error {
	settings := []struct{ heartbeat, deadline time.Duration }{
		{500 * time.Millisecond, 1500 * time.Millisecond}, {time.Second, 3 * time.Second}, {300 * time.Millisecond, time.Second},
	}
	set := settings[r.IntN(len(settings))]
	r.bounds = history.Usual(set.heartbeat, set.deadline, r.scale)
	args := []string{"-heartbeat", set.heartbeat.String(), "-deadline", set.deadline.String()}
	if r.nats != "" {
		r.bounds = r.bounds.Shared(cutOff, r.scale)
		return r.startFleet(args)
	}
	m := &master{programs: r.programs, args: args}
	if r.namespaces {
		m.args = append(m.args, "-grpc", ":0", "-insecure")
	}
	r.masters = []*master{m}
	return m.start()
}

// mountDisk mounts a disk with a few files in the scout's directory.
func (r *run) mountDisk(s *scout) error {
	backing, at := filepath.Join(r.dir, "backing"), filepath.Join(s.tree.path, "disk")
	if err := os.Mkdir(at, 0o700); err != nil {
		return err
	}
	var names []history.Name
	for i := range 30 {
		name := fmt.Sprintf("%d/file", i)
		if err := os.MkdirAll(filepath.Join(backing, strconv.Itoa(i)), 0o700); err != nil {
			return err
		}
		if err := create(filepath.Join(backing, name)); err != nil {
			return err
		}
		s.tree.fixed = append(s.tree.fixed, "disk/"+name)
		names = append(names, history.Name{Scout: s.number, Path: []byte("disk/" + name)})
	}
	s.args = append(s.args, "-poll", "300ms") // otherwise it would not read the disk
	return r.mutator.do("mount "+at, nil, names, func() (err error) {
		s.disk, err = testfleet.MountDisk(backing, at)
		return err
	})
}

// newScout makes a scout of a random kind, with its directory and its link.
func (r *run) newScout(number int) (*scout, error) {
	t := &tree{path: filepath.Join(r.dir, fmt.Sprint("tree-", number), "watched"), root: newDir(), scout: number, recursive: true}
	if err := os.MkdirAll(t.path, 0o700); err != nil {
		return nil, err
	}
	poll := []string{"1h", "1h", "1s", "300ms"}[r.IntN(4)]
	if r.limits {
		poll = "500ms"
	}
	s := &scout{
		number: number, programs: r.programs, host: fmt.Sprint("host-", number%3), tree: t,
		args: []string{"-poll", poll}, limits: r.limits,
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
	if r.namespaces {
		s.args = append(s.args, "-insecure")
	}
	var err error
	s.link, err = newLink(r.masters, r.namespaces)
	return s, err
}

// stop ends all programs and returns the complaints about them.
func (r *run) stop() (complaints []string) {
	var stopping sync.WaitGroup
	for _, s := range r.scouts {
		stopping.Go(func() { s.stop() }) //nolint:errcheck // it complains, too
	}
	stopping.Wait()
	for _, m := range r.masters { // after all scouts
		stopping.Go(func() { m.stop() }) //nolint:errcheck // it complains, too
	}
	stopping.Wait()
	for i, m := range r.masters {
		for _, c := range m.complaint {
			complaints = append(complaints, fmt.Sprintf("master %d %s", i, c))
		}
	}
	for i, s := range r.scouts {
		for _, c := range s.complaint {
			complaints = append(complaints, fmt.Sprintf("scout %d %s", i, c))
		}
	}
	return complaints
}

// close removes everything that was made so far.
func (r *run) close() {
	for _, s := range r.scouts {
		if s.process != nil && !s.process.Ended() {
			s.process.Kill()
		}
		s.link.Close()
		if s.disk != nil {
			s.disk.Unmount()
		}
	}
	for _, m := range r.masters {
		if m.process != nil && !m.process.Ended() {
			m.process.Kill()
		}
	}
	r.servers.close()
	os.RemoveAll(r.dir) //nolint:errcheck // it lies in the directory for temporary files
}

// converge waits until the list equals the output of find, after all changes. It
// returns an error if that does not happen in time, or if the model differs from
// find.
func (r *run) converge() error {
	want := make([][]string, len(r.scouts))
	for i, s := range r.scouts {
		found, err := testfleet.Find(s.tree.path)
		if err != nil {
			return err
		}
		for _, name := range found {
			if s.tree.listed(name) {
				want[i] = append(want[i], name)
			}
		}
		var model []string
		for _, n := range s.tree.names(s.tree.root, ".") {
			model = append(model, string(n.Path))
		}
		slices.Sort(model)
		if err := testfleet.Diff(model, want[i]); err != nil {
			return fmt.Errorf("scout %d: the model is wrong: %w", i, err)
		}
	}
	limit := time.Now().Add(r.bounds.Recovery + r.bounds.Late)
	for {
		err := r.compareWatches()
		for _, m := range r.masters {
			err = errors.Join(err, r.compareList(m, want))
		}
		if err == nil && r.servers != nil {
			return r.agree()
		}
		if err == nil || time.Now().After(limit) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// agreeTime is how long masters of one list must call it the same, while nothing
// changes.
const agreeTime = 8 * time.Second

// agree makes sure that all masters call the list the same, but for as long as one may
// be behind another.
func (r *run) agree() error {
	equal := time.Now()
	for began := equal; time.Since(began) < agreeTime || time.Since(equal) > time.Second; time.Sleep(50 * time.Millisecond) {
		tags := map[string]int{}
		for i, m := range r.masters {
			c := consumer{address: func() string { return m.http }, client: http.Client{Timeout: r.bounds.Answer}}
			a, err := c.get(context.Background())
			if err != nil {
				return fmt.Errorf("in the end, master %d: %w", i, err)
			}
			tags[a.etag] = i
		}
		switch {
		case len(tags) == 1:
			equal = time.Now()
		case time.Since(equal) > r.bounds.Late:
			return fmt.Errorf("in the end, one list has several ETags: %v", tags)
		}
	}
	return nil
}

// compareWatches makes sure that scouts hold no watches of directories that have
// left their trees.
func (r *run) compareWatches() error {
	const spare = 8 // for the directory itself, and those that are renewed
	for i, s := range r.scouts {
		watches, err := s.process.Watches()
		if err != nil {
			return err
		}
		if dirs := s.tree.root.directories(); watches > dirs+spare {
			return fmt.Errorf("scout %d holds %d watches for %d directories", i, watches, dirs)
		}
	}
	return nil
}

func (r *run) compareList(m *master, want [][]string) error {
	c := consumer{address: func() string { return m.http }, client: http.Client{Timeout: r.bounds.Answer}}
	a, err := c.get(context.Background())
	if err != nil {
		return err
	}
	entries, err := testfleet.ParseList(a.body)
	if err != nil {
		return err
	}
	total := 0
	for i, s := range r.scouts {
		if err := testfleet.Diff(testfleet.Names(entries, s.host, s.tree.path), want[i]); err != nil {
			return fmt.Errorf("in the end, scout %d in %s: %w\n%s\n%s", i, s.tree.path, err, s.process.Tail(), m.process.Tail())
		}
		total += len(want[i])
	}
	if total != len(entries) {
		return fmt.Errorf("in the end %d entries are listed, find has %d", len(entries), total)
	}
	return nil
}
