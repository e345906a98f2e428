//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// pid is a process that is measured.
type pid int

// cpu is the processor time that the process has used. It counts the threads
// that there are, to the nanosecond, where the total counts ticks of 10 ms.
func (p pid) cpu() (time.Duration, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p))
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("processor time of process %d: it has none, or ended", p)
	}
	var sum time.Duration
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the thread has ended
		}
		var ns int64
		if _, err := fmt.Sscan(string(stat), &ns); err != nil {
			return 0, fmt.Errorf("processor time: %s: %w", path, err)
		}
		sum += time.Duration(ns)
	}
	return sum, nil
}

// cpuOver is the processor time that the process uses in the time to come.
func (p pid) cpuOver(ctx context.Context, d time.Duration) (used, passed time.Duration, err error) {
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	pause(ctx, d)
	after, err := p.cpu()
	return after - before, time.Since(began), err
}

// loadsOver are the parts of one core that several processes use in the same
// time to come.
func loadsOver(ctx context.Context, d time.Duration, processes ...pid) ([]float64, error) {
	loads := make([]float64, len(processes))
	group, ctx := errgroup.WithContext(ctx)
	for i, p := range processes {
		group.Go(func() error {
			used, passed, err := p.cpuOver(ctx, d)
			loads[i] = used.Seconds() / passed.Seconds()
			return err
		})
	}
	return loads, group.Wait()
}

// calm waits until the process has nothing to do, or for the limit.
func (p pid) calm(ctx context.Context, limit time.Duration) error {
	const look, idle = 400 * time.Millisecond, 0.03
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; {
		used, passed, err := p.cpuOver(ctx, look)
		if err != nil || used.Seconds() < idle*passed.Seconds() {
			return err
		}
	}
	return ctx.Err()
}

// resident is how many bytes of memory the process has now.
func (p pid) resident() (int64, error) { return p.status("VmRSS") }

// peak is the most that resident was, since it began or since resetPeak.
func (p pid) peak() (int64, error) { return p.status("VmHWM") }

func (p pid) resetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p), []byte("5"), 0o200)
}

func (p pid) status(field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var kib int64
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				return 0, fmt.Errorf("%s of process %d: %w", field, p, err)
			}
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("%s of process %d: not known", field, p)
}
