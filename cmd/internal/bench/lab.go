//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

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

// pause waits, unless ctx is done first.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
