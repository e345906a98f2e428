//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"time"

	"scout/cmd/internal/testfleet"
)

// watched is a real scout on a real directory, and its master.
type watched struct {
	master *testfleet.Master
	scout  *testfleet.Process
	pid    pid // the scout's
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
	if w.scout, err = l.programs.StartScout(w.dir, addr, append([]string{"-host", host}, args...)...); err != nil {
		return err
	}
	w.pid = pid(w.scout.Process.Pid)
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
	if err := w.scout.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the scout: %w", err)
	}
	_, err := w.scout.AwaitExit(10 * time.Second)
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
