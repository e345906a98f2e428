//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"scout/cmd/internal/testfleet"
)

// lab is what all rows share: the programs, a place for directories, and what
// was set up for the point that is being measured.
type lab struct {
	options
	dir      string // scratch, removed at the end
	programs testfleet.Programs
	began    time.Time

	running []*testfleet.Process // what the task under way has started
	trees   map[int]string       // by the number of their files
	stage   *stage               // of played scouts, the last one used
	server  *nginx               // of the stage's list, or nil
}

func openLab(o options) (*lab, error) {
	dir, err := os.MkdirTemp(o.dir, "scout-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, began: time.Now(), trees: map[int]string{}}
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	l.log("building the programs")
	if l.programs, err = testfleet.Build(dir, "-trimpath"); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

func (l *lab) close() {
	l.dropStage()
	l.log("removing %s", l.dir)
	if err := os.RemoveAll(l.dir); err != nil {
		l.log("remove %s: %v", l.dir, err)
	}
}

// log says on standard error what is going on.
func (l *lab) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%6.1f s  %s\n", time.Since(l.began).Seconds(), fmt.Sprintf(format, args...))
}

func (l *lab) logResult(r result) {
	for _, f := range r.figures {
		l.log("    %-12s %s", f.name, f)
	}
	for _, note := range r.notes {
		l.log("    %s", note)
	}
}

// rounds is how often to measure something.
func (l *lab) rounds(full, short int) int {
	if l.short {
		return short
	}
	return full
}

// lasting is how long to watch something.
func (l *lab) lasting(full, short time.Duration) time.Duration {
	if l.short {
		return short
	}
	return full
}

// slowTree is when making a tree has taken so long that it needs explaining.
const slowTree = time.Minute

// tree returns a directory with so many files, which whoever changes it leaves
// as it was.
func (l *lab) tree(files int) (string, error) {
	if dir, ok := l.trees[files]; ok {
		return dir, nil
	}
	l.log("making a tree of %s files", count(files))
	dir := filepath.Join(l.dir, fmt.Sprintf("tree-%d", files))
	began := time.Now()
	if err := makeTree(dir, files); err != nil {
		return "", fmt.Errorf("make a tree: %w", err)
	}
	if took := time.Since(began); took > slowTree {
		l.log("that took %s: ext4 does not use again for minutes what was removed, and looks at all of it for each new file. "+
			"Wait a while before the next run, or give another -dir", seconds.format(took.Seconds()))
	}
	l.trees[files] = dir
	return dir, nil
}

// master starts a scoutmaster that ends with the task.
func (l *lab) master(ctx context.Context, args ...string) (*testfleet.Master, error) {
	m, err := l.programs.StartMaster(args...)
	if err == nil {
		l.endWithTask(ctx, m.Process)
	}
	return m, err
}

// endWithTask sees to it that a process does not outlive the task, nor ctx, so
// that whoever waits for it hears of that.
func (l *lab) endWithTask(ctx context.Context, p *testfleet.Process) {
	l.running = append(l.running, p)
	context.AfterFunc(ctx, p.Kill)
}

// endTask ends what the task has started.
func (l *lab) endTask() {
	for _, p := range l.running {
		p.Kill()
	}
	l.running = nil
}

// watched is a real scout on a real directory, and its master.
type watched struct {
	master *testfleet.Master
	scout  *testfleet.Process
	dir    string
}

// watch starts a master and a scout, and waits until the directory's files are
// listed. Both end with the task.
func (l *lab) watch(ctx context.Context, dir string, files int, args ...string) (*watched, error) {
	m, err := l.master(ctx)
	if err != nil {
		return nil, err
	}
	return l.watchFor(ctx, m, m.GRPC, dir, files, args...)
}

// watchFor is watch with a master that there is, at an address.
func (l *lab) watchFor(ctx context.Context, m *testfleet.Master, addr, dir string, files int, args ...string) (*watched, error) {
	w := &watched{master: m, dir: dir}
	if err := w.start(ctx, l, addr, args...); err != nil {
		return nil, err
	}
	_, err := w.synced(files)
	return w, err
}

// host is the name of the one real scout.
const host = "bench"

func (w *watched) start(ctx context.Context, l *lab, addr string, args ...string) (err error) {
	if w.scout, err = l.programs.StartScout(addr, w.dir, append([]string{"-host", host}, args...)...); err != nil {
		return err
	}
	l.endWithTask(ctx, w.scout)
	return nil
}

// askAgain is how long to wait before the scoutmaster is asked again whether all
// files are listed. An answer with one scout takes a tenth of that.
const askAgain = 2 * time.Millisecond

// synced waits until the master lists so many files of the scout, and returns
// when that was.
func (w *watched) synced(files int) (time.Time, error) {
	var now struct {
		Scouts []struct {
			State string
			Files int
		}
	}
	for end := time.Now().Add(listTime); time.Now().Before(end) && !w.scout.Ended(); time.Sleep(askAgain) {
		answer, err := w.master.Get("/scouts")
		if err != nil {
			return time.Time{}, err
		}
		if err := json.Unmarshal(answer, &now); err != nil {
			return time.Time{}, fmt.Errorf("read /scouts: %w", err)
		}
		if s := now.Scouts; len(s) == 1 && s[0].Files == files && (s[0].State == "live" || s[0].State == "degraded") {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("wait for %d files: /scouts has %+v, the scout says %v %q",
		files, now.Scouts, w.scout.Events(), w.scout.Stray())
}

// stop tells the scout to end, and waits for that.
func (w *watched) stop() error {
	_, err := w.scout.Terminate()
	return err
}

// checkWatches skips what needs more watches than the system allows.
func checkWatches(files int) error {
	var limit int
	if _, err := fmt.Sscan(contents("/proc/sys/fs/inotify/max_user_watches"), &limit); err != nil {
		return fmt.Errorf("the limit of watches is not known: %w", err)
	}
	if need := files/perDirectory + 1; need > limit {
		return skip("it needs %s watches: sysctl fs.inotify.max_user_watches=%d", count(need), 2*need)
	}
	return nil
}

// scratch makes an empty directory, which the returned function removes.
func scratch(parent string) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(parent, "scout-bench-"); err != nil {
		return "", nil, fmt.Errorf("make a directory: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil //nolint:errcheck // it lies in a directory for temporary files
}

// memoryDir is where files are made in memory.
const memoryDir = "/dev/shm"

// fast is a directory to make files in as fast as can be: in memory if there is
// such a place, for a disk's file system may well take longer than the scout.
func (l *lab) fast() string {
	if fileSystem(memoryDir) == tmpfs {
		return memoryDir
	}
	return l.dir
}

// perDirectory is how many files a directory of a tree has.
const perDirectory = 100

// makeTree makes a directory with so many empty files in subdirectories.
func makeTree(dir string, files int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := 0; i*perDirectory < files; i++ {
		sub := filepath.Join(dir, directoryName(i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			return err
		}
		if err := makeFiles(sub, "file", 0, min(perDirectory, files-i*perDirectory)); err != nil {
			return err
		}
	}
	return nil
}

func directoryName(i int) string { return fmt.Sprintf("d%05d", i) }

// makeFiles makes the from-th to the n-th empty file of a name in a directory,
// as fast as one thread can: a system call for each.
func makeFiles(dir, name string, from, n int) error {
	return inDirectory(dir, func(fd int) error {
		for i := from; i < n; i++ {
			if err := unix.Mknodat(fd, fileName(name, i), unix.S_IFREG|0o644, 0); err != nil {
				return fmt.Errorf("make file %d in %s: %w", i, dir, err)
			}
		}
		return nil
	})
}

func fileName(name string, i int) string { return fmt.Sprintf("%s-%06d.dat", name, i) }

func inDirectory(dir string, do func(fd int) error) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written to it
	return do(fd)
}

// touch makes an empty file.
func touch(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("touch %s: %w", path, err)
	}
	return unix.Close(fd)
}
