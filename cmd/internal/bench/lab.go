//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"scout/cmd/internal/testfleet"
)

// lab is shared by all rows: the programs, a place for directories, and the setup for
// the current point.
type lab struct {
	options
	dir      string // scratch, removed at the end
	programs testfleet.Programs
	began    time.Time

	running []*testfleet.Process // the processes of the current task
	trees   map[string]*tree     // by shape and number of files
	stage   *stage               // of played scouts, the last one used
	server  *nginx               // of the stage's list, or nil
}

func openLab(o options) (*lab, error) {
	dir, err := os.MkdirTemp(o.dir, "scout-bench-")
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, began: time.Now(), trees: map[string]*tree{}}
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

// log writes progress to standard error.
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

// master starts a scoutmaster that ends with the task.
func (l *lab) master(ctx context.Context, args ...string) (*testfleet.Master, error) {
	m, err := l.programs.StartMaster(args...)
	if err == nil {
		l.endWithTask(ctx, m.Process)
	}
	return m, err
}

// endWithTask ends a process with the task, or with ctx, so that nothing waits for it
// in vain.
func (l *lab) endWithTask(ctx context.Context, p *testfleet.Process) {
	l.running = append(l.running, p)
	context.AfterFunc(ctx, p.Kill)
}

// endTask ends the processes of the task.
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

// watchFor is watch with an existing master at an address.
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

// synced waits until the master lists a number of files of the scout, and returns the
// time.
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

// stop ends the scout and waits for its end.
func (w *watched) stop() error {
	_, err := w.scout.Terminate()
	return err
}
