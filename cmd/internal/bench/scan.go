//go:build linux

package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"scout/cmd/internal/testfleet"
)

var (
	million  = point{files: 1_000_000}
	smallest = point{files: 10_000}
	byTree   = growth{overFiles, []point{{files: 10_000}, {files: 100_000}, {files: 1_000_000}}}
)

var scanRows = slices.Concat(
	rowsOf(func(s shape) row {
		return row{
			name: "scout started → all of its tree listed, " + s.name, reference: "`find TREE ! -type d` into a pipe", at: million, small: smallest,
			growth: []growth{byTree}, run: inTree(s, scan),
			how: "From the start of the scout's process to the scoutmaster's list having all of it, in turn with `find TREE ! -type d | cat >/dev/null`. " +
				"All files are empty, and the kernel knows them already.",
		}
	}),
	rowsOf(func(s shape) row {
		return row{
			name: "poll of the unchanged tree, processor time, " + s.name, reference: "the same `find`, its processor time", at: million, small: smallest,
			growth: []growth{byTree}, run: poll(s),
			how: "What a scout that polls five times a second uses more than one that does not poll, divided by the number of polls.",
		}
	}),
	rowsOf(func(s shape) row {
		return row{
			name: "scout idle, poll 5 s, processor time, " + s.name, reference: "a process that stats each directory every 5 s", at: million, small: smallest,
			growth: []growth{byTree}, run: idle(s),
			how: "All that the scout's process uses while nothing happens, in terms of one core: the median of ten seconds. The reference runs beside it.",
		}
	}),
	rowsOf(func(s shape) row {
		return row{
			name: "scout's memory, resident, " + s.name, at: million, small: smallest,
			growth: []growth{byTree}, run: scoutMemory(s),
			how: "The whole process, program and runtime included, divided by the number of files: some time after the files were listed, and at its highest.",
		}
	}),
)

// scan is the time from a scout's start to the list.
func scan(ctx context.Context, l *lab, t *tree) (res result, err error) {
	m, err := l.master(ctx)
	if err != nil {
		return res, err
	}
	w := &watched{master: m, dir: t.path}
	var ours, theirs []float64
	for i := range l.rounds(7, 2) + 1 {
		f, err := find(ctx, t.path)
		if err != nil {
			return res, err
		}
		took, err := w.once(ctx, l, t.files)
		if err != nil {
			return res, err
		}
		if i > 0 { // the first round warms the caches
			ours, theirs = append(ours, took.Seconds()), append(theirs, f.wall.Seconds())
		}
	}
	res.add(figure{unit: seconds, value: median(ours), reference: median(theirs), bound: atMostTimes(1.5)})
	res.note("At best it was %s against %s.", seconds.format(quantile(ours, 0)), seconds.format(quantile(theirs, 0)))
	return res, nil
}

// once starts a scout, and stops it when all is listed.
func (w *watched) once(ctx context.Context, l *lab, files int) (time.Duration, error) {
	began := time.Now()
	if err := w.start(ctx, l, w.master.GRPC); err != nil {
		return 0, err
	}
	at, err := w.synced(files)
	if err != nil {
		return 0, err
	}
	return at.Sub(began), w.stop()
}

// cost is what a program took.
type cost struct{ wall, cpu time.Duration }

// find is `find DIR ! -type d | cat >/dev/null`. The processor time is find's.
func find(ctx context.Context, dir string) (c cost, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return c, err
	}
	finder := exec.CommandContext(ctx, "find", dir, "!", "-type", "d")
	reader := exec.CommandContext(ctx, "cat")
	finder.Stdout, reader.Stdin = w, r
	err = reader.Start()
	r.Close() //nolint:errcheck // the reader has it
	if err != nil {
		w.Close() //nolint:errcheck // nothing was written
		return c, fmt.Errorf("cat: %w", err)
	}
	began := time.Now()
	err = finder.Run()
	w.Close() //nolint:errcheck // the finder wrote to it
	if ended := reader.Wait(); err == nil {
		err = ended
	}
	if err != nil {
		return c, fmt.Errorf("find %s: %w", dir, err)
	}
	c.wall = time.Since(began)
	c.cpu = finder.ProcessState.UserTime() + finder.ProcessState.SystemTime()
	return c, nil
}

// poll is the cost of a poll when nothing has changed.
func poll(s shape) measurement {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		const every = 200 * time.Millisecond
		rest, err := l.load(ctx, s, p, time.Hour, nil)
		if err != nil {
			return res, err
		}
		var theirs []float64
		busy, err := l.load(ctx, s, p, every, func(dir string) error {
			f, err := find(ctx, dir)
			theirs = append(theirs, f.cpu.Seconds())
			return err
		})
		if err != nil {
			return res, err
		}
		// The scout waits that long after each poll.
		each := func(load float64) float64 { return load * every.Seconds() / (1 - load) }
		res.add(figure{unit: seconds, value: each(busy - rest), reference: median(theirs), bound: atMostTimes(1.0 / 20)})
		res.note("The rest of the scout's work, taken off, was %s.", ofOneCore.format(rest))
		return res, nil
	}
}

// load is the share of one core that a scout uses which polls that often, the
// median of several measurements. Before each of them another program may run.
func (l *lab) load(ctx context.Context, s shape, p point, every time.Duration, before func(dir string) error) (float64, error) {
	w, _, err := l.quiet(ctx, s, p, "-poll", every.String())
	if err != nil {
		return 0, err
	}
	var loads []float64
	for range l.rounds(7, 2) {
		if before != nil {
			if err := before(w.dir); err != nil {
				return 0, err
			}
		}
		load, err := w.scout.CPUOver(ctx, l.lasting(3*time.Second, time.Second))
		if err != nil {
			return 0, err
		}
		loads = append(loads, load)
	}
	return median(loads), w.stop()
}

// quiet is a scout of a tree that has come to rest.
func (l *lab) quiet(ctx context.Context, s shape, p point, args ...string) (*watched, *tree, error) {
	t, err := l.tree(s, p.files)
	if err != nil {
		return nil, nil, err
	}
	w, err := l.watch(ctx, t.path, p.files, args...)
	testfleet.Sleep(ctx, l.lasting(20*time.Second, 500*time.Millisecond)) // watches are set behind the list
	return w, t, err
}

// idle is what a scout costs while nothing happens.
func idle(s shape) measurement {
	most := 0.012 // the poll's budget of 1 %, and beats
	if s.name == hundreds.name {
		most = 0.005
	}
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		w, t, err := l.quiet(ctx, s, p)
		if err != nil {
			return res, err
		}
		peer, err := l.peerProcess(ctx, "stat", t.path, "5s")
		if err != nil {
			return res, err
		}
		if _, err := peer.AwaitMsg(listTime, 0, "ready"); err != nil {
			return res, err
		}
		span := l.lasting(10*time.Second, 5*time.Second)
		var ours, theirs []float64
		for range l.rounds(5, 1) {
			var mine, its float64
			both, ctx := errgroup.WithContext(ctx)
			both.Go(func() (err error) { mine, err = w.scout.CPUOver(ctx, span); return err })
			both.Go(func() (err error) { its, err = peer.CPUOver(ctx, span); return err })
			if err := both.Wait(); err != nil {
				return res, err
			}
			ours, theirs = append(ours, mine), append(theirs, its)
		}
		peer.Kill()
		res.add(figure{unit: ofOneCore, value: median(ours), reference: median(theirs), bound: atMost(most)})
		return res, nil
	}
}

// scoutMemory is what a scout holds.
func scoutMemory(s shape) measurement {
	resident, highest := 120.0, 160.0
	if s.name == hundreds.name {
		resident, highest = 45, 80
	}
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		w, _, err := l.quiet(ctx, s, p)
		if err != nil {
			return res, err
		}
		now, err := w.scout.Resident()
		if err != nil {
			return res, err
		}
		peak, err := w.scout.Peak()
		res.add(
			figure{unit: bytesPerFile, value: float64(now) / float64(p.files), bound: atMost(resident)},
			figure{name: "peak", unit: bytesPerFile, value: float64(peak) / float64(p.files), bound: atMost(highest)},
		)
		res.note("%s, and %s at its peak.", byteCount.format(float64(now)), byteCount.format(float64(peak)))
		return res, err
	}
}

// statDirectories is the process that does no more than a poll has to: one stat of each
// directory in a tree, by its name, every so often.
func statDirectories(args []string) error {
	every, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	var names []string
	err = filepath.WalkDir(args[0], func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	say("ready", "")
	for {
		testfleet.Sleep(context.Background(), every)
		if err := inDirectory(args[0], func(fd int) error { return statEach(fd, names) }); err != nil {
			return err
		}
	}
}

func statEach(fd int, names []string) error {
	var st unix.Stat_t
	for _, name := range names {
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat %s: %w", name, err)
		}
	}
	return nil
}
