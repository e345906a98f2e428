//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"scout/cmd/internal/testfleet"
)

var freshRows = append(
	rowsOf(func(s shape) row {
		return row{
			name: "`touch` → seen on `/files?prefix=…`, " + s.name, reference: "a raw inotify read", at: million, small: smallest,
			growth: []growth{byTree}, run: inTree(s, fresh),
			how: "A file is made anywhere in the tree, and one client asks for its name over a kept-alive connection as fast as it can until it is there. " +
				"The reference is a process that waits in `read` on an inotify descriptor, from the same `touch` to the return of `read`. " +
				"The tree, one of 100 files, and the reference take turns; each scout has a scoutmaster of its own.",
		}
	}),
	row{
		name: "`touch` → seen while watches are being set, " + packaged.name, at: million, small: smallest, run: inTree(packaged, freshEarly),
		how: "Files are made all over the tree from the moment on that it is listed, when most of its directories are not watched yet. " +
			"The poll, of 5 s, finds the changes that no notification tells of.",
	},
	row{
		name: "`touch` → seen, all files in one directory", reference: "a raw inotify read", at: point{files: 100_000}, small: smallest,
		run: freshFlat,
		how: "As above, but the directory has no subdirectories.",
	},
)

func fresh(ctx context.Context, l *lab, t *tree) (result, error) {
	return freshIn(ctx, l, t.path, t.files, t.directories)
}

// freshEarly measures how soon changes are listed right after a scout's start.
func freshEarly(ctx context.Context, l *lab, tree *tree) (res result, err error) {
	w, err := l.watch(ctx, tree.path, tree.files)
	if err != nil {
		return res, err
	}
	t := &toucher{watched: w, spots: tree.directories}
	if t.asker, err = newAsker(ctx, w.master.HTTP); err != nil {
		return res, err
	}
	defer t.clean()
	var took []float64
	began := map[string]time.Time{}
	for i := range l.rounds(200, 20) {
		path := t.next(fmt.Sprintf("early-%06d", i))
		began[path] = time.Now()
		if err := touch(filepath.Join(t.dir, path)); err != nil {
			return res, err
		}
		testfleet.Sleep(ctx, 2*time.Millisecond)
	}
	for _, path := range t.made {
		if err := t.asker.await(path, []byte(`"`+path+`"`), began[path].Add(30*time.Second)); err != nil {
			return res, err
		}
		took = append(took, time.Since(began[path]).Seconds())
	}
	res.add(
		figure{name: "p50", unit: seconds, value: median(took)},
		figure{name: "slowest", unit: seconds, value: quantile(took, 1), bound: atMost(5.5)},
	)
	return res, nil
}

func freshFlat(ctx context.Context, l *lab, p point) (res result, err error) {
	dir, remove, err := scratch(l.dir)
	if err != nil {
		return res, err
	}
	defer remove()
	if err := makeFiles(dir, "file", 0, p.files); err != nil {
		return res, err
	}
	return freshIn(ctx, l, dir, p.files, []string{"."})
}

// freshIn compares a directory with one of 100 files, and with the kernel.
func freshIn(ctx context.Context, l *lab, dir string, files int, spots []string) (res result, err error) {
	few, err := l.tree(hundreds, perDirectory)
	if err != nil {
		return res, err
	}
	large, err := l.toucher(ctx, dir, files, spots)
	if err != nil {
		return res, err
	}
	defer large.clean()
	small, err := l.toucher(ctx, few.path, perDirectory, few.directories)
	if err != nil {
		return res, err
	}
	defer small.clean()
	raw, remove, err := l.rawReader()
	if err != nil {
		return res, err
	}
	defer remove()
	var took [3][]time.Duration
	touches := []func(string) (time.Duration, error){large.touch, small.touch, raw.touch}
	for i := range l.rounds(800, 60) {
		order := []int{0, 1, 2}
		if i%2 == 1 { // the second one finds the program's code in the cache
			order = []int{1, 0, 2}
		}
		for _, j := range order {
			d, err := touches[j](fmt.Sprintf("touched-%06d", i))
			if err != nil {
				return res, err
			}
			took[j] = append(took[j], d)
			testfleet.Sleep(ctx, 3*time.Millisecond)
		}
	}
	if err := raw.close(); err != nil {
		return res, err
	}
	l.addLatencies(&res, inSeconds(took[0]), inSeconds(took[1]), inSeconds(took[2]))
	return res, nil
}

func (l *lab) addLatencies(res *result, large, small, raw []float64) {
	const p50, p99 = 0.5, 0.99
	res.add(
		figure{name: "p50", unit: seconds, value: quantile(large, p50), reference: quantile(raw, p50), bound: atMost(1e-3)},
		figure{name: "p99", unit: seconds, value: quantile(large, p99), reference: quantile(raw, p99), bound: atMost(5e-3)},
		figure{name: "p50 at 100 files", unit: seconds, value: quantile(small, p50), reference: quantile(raw, p50), bound: atMost(1e-3)},
		figure{name: "p99 at 100 files", unit: seconds, value: quantile(small, p99), reference: quantile(raw, p99), bound: atMost(5e-3)},
		figure{name: "p50 against that at 100 files", unit: times, value: quantile(large, p50) / quantile(small, p50), bound: atMost(1.25)},
	)
}

// rawReader returns the reference, with a directory of its own.
func (l *lab) rawReader() (*kernel, func(), error) {
	dir, remove, err := scratch(l.dir)
	if err != nil {
		return nil, nil, err
	}
	k, err := newKernel(dir)
	return k, remove, err
}

// toucher makes files in a watched directory and waits until they are listed.
type toucher struct {
	*watched
	asker *asker
	spots []string // the directories to make them in, in turn
	made  []string
}

func (l *lab) toucher(ctx context.Context, dir string, files int, spots []string) (*toucher, error) {
	w, err := l.watch(ctx, dir, files)
	if err != nil {
		return nil, err
	}
	a, err := newAsker(ctx, w.master.HTTP)
	if err != nil {
		return nil, err
	}
	if err := w.scout.Rest(ctx, 10*time.Second); err != nil {
		return nil, err
	}
	return &toucher{watched: w, asker: a, spots: spots}, nil
}

// touch makes a file and returns how long it took until it was listed.
func (t *toucher) touch(name string) (time.Duration, error) {
	path := t.next(name)
	began := time.Now()
	if err := touch(filepath.Join(t.dir, path)); err != nil {
		return 0, err
	}
	if err := t.asker.await(path, []byte(`"`+path+`"`), began.Add(30*time.Second)); err != nil {
		return 0, err
	}
	return time.Since(began), nil
}

// next returns the path for a file in the next directory.
func (t *toucher) next(name string) string {
	spot := t.spots[len(t.made)*7919%len(t.spots)] // a prime number: all spots, in a scattered order
	path := filepath.Join(spot, name)
	t.made = append(t.made, path)
	return path
}

// clean restores the directory and ends the watch.
func (t *toucher) clean() {
	t.asker.close()
	err := t.stop()
	for _, path := range t.made {
		err = errors.Join(err, os.Remove(filepath.Join(t.dir, path)))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench: clean up:", err)
	}
}

// kernel only reads inotify: no program can learn of a file from the kernel sooner.
type kernel struct {
	fd   int
	dir  string
	seen chan time.Time // when events were read
}

func newKernel(dir string) (*kernel, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
		unix.Close(fd) //nolint:errcheck // it was not used
		return nil, fmt.Errorf("inotify: %s: %w", dir, err)
	}
	k := &kernel{fd: fd, dir: dir, seen: make(chan time.Time)}
	go k.read()
	return k, nil
}

// read passes on the times of events until an event of the last file arrives.
func (k *kernel) read() {
	defer close(k.seen)
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(k.fd, buf)
		if err != nil || n >= unix.SizeofInotifyEvent+len(last) && string(buf[unix.SizeofInotifyEvent:][:len(last)]) == last {
			return
		}
		k.seen <- time.Now()
	}
}

const last = "last"

// touch makes a file and returns how long it took until its event was read.
func (k *kernel) touch(name string) (time.Duration, error) {
	began := time.Now()
	if err := touch(filepath.Join(k.dir, name)); err != nil {
		return 0, err
	}
	return (<-k.seen).Sub(began), nil
}

func (k *kernel) close() error {
	if err := touch(filepath.Join(k.dir, last)); err != nil {
		return err
	}
	if _, more := <-k.seen; more {
		return fmt.Errorf("inotify: an event too many in %s", k.dir)
	}
	return unix.Close(k.fd)
}

var wireRows = rowsOf(func(s shape) row {
	return row{
		name: "bytes on the wire for one created file, " + s.name, at: million, small: smallest,
		growth: []growth{byTree}, run: inTree(s, wire),
		how: "What passes a proxy between scout and scoutmaster, both ways, as TCP carries it, on average of files that are made one by one. " +
			"The heartbeat is set to an hour, so that none of it is in the figure.",
	}
})

// wire measures the bytes of a change between scout and master.
func wire(ctx context.Context, l *lab, tree *tree) (res result, err error) {
	m, err := l.master(ctx, "-heartbeat", "1h", "-deadline", "2h")
	if err != nil {
		return res, err
	}
	between, err := testfleet.NewProxy(m.GRPC)
	if err != nil {
		return res, err
	}
	defer between.Close()
	w, err := l.watchFor(ctx, m, between.Address(), tree.path, tree.files)
	if err != nil {
		return res, err
	}
	t := &toucher{watched: w, spots: tree.directories}
	if t.asker, err = newAsker(ctx, m.HTTP); err != nil {
		return res, err
	}
	defer t.clean()
	testfleet.Sleep(ctx, l.lasting(3*time.Second, time.Second))
	up, down := between.Up.Load(), between.Down.Load()
	n := l.rounds(100, 20)
	for i := range n {
		if _, err := t.touch(fileName("created", i)); err != nil {
			return res, err
		}
	}
	testfleet.Sleep(ctx, 100*time.Millisecond) // for the last acknowledgements
	up, down = between.Up.Load()-up, between.Down.Load()-down
	res.add(figure{unit: byteCount, value: float64(up+down) / float64(n), bound: atMost(300)})
	res.note("%s up and %s down, for a name of %d bytes.", byteCount.format(float64(up)/float64(n)),
		byteCount.format(float64(down)/float64(n)), len(t.made[0]))
	return res, nil
}
