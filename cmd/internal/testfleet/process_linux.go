package testfleet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// endWithParent has the kernel kill the program when this process ends.
func endWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// Pause stops the program and returns when all its threads have stopped.
func (p *Process) Pause() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for began := time.Now(); time.Since(began) < stopTime; time.Sleep(time.Millisecond) {
		if stopped, err := p.stopped(); err != nil || stopped {
			return err
		}
	}
	return fmt.Errorf("process %d does not stop", p.Process.Pid)
}

// stopped reports whether no thread of the program runs: a signal takes its
// time to reach all of them.
func (p *Process) stopped() (bool, error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.Process.Pid))
	if err != nil || len(stats) == 0 {
		return false, fmt.Errorf("process %d has ended", p.Process.Pid)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(stat), ") T ") {
			return false, nil
		}
	}
	return true, nil
}

// Continue lets a program go on that was paused.
func (p *Process) Continue() error { return p.Signal(syscall.SIGCONT) }

// CPU returns the processor time that the program has used. It counts the
// threads that there are, to the nanosecond, where the kernel's total counts
// ticks of 10 ms.
func (p *Process) CPU() (time.Duration, error) { return CPUOf(p.Process.Pid) }

// CPUOf returns the processor time that a process has used.
func CPUOf(pid int) (sum time.Duration, err error) {
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil || len(stats) == 0 {
		return 0, fmt.Errorf("processor time of process %d: it has ended", pid)
	}
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

// CPUOver returns the share of one core that the program uses in the time to
// come, which ends early with ctx.
func (p *Process) CPUOver(ctx context.Context, d time.Duration) (float64, error) {
	before, err := p.CPU()
	if err != nil {
		return 0, err
	}
	began := time.Now()
	Sleep(ctx, d)
	after, err := p.CPU()
	return (after - before).Seconds() / time.Since(began).Seconds(), err
}

// Rest waits until the program has nothing to do, or for the limit.
func (p *Process) Rest(ctx context.Context, limit time.Duration) error {
	const span, idle = 400 * time.Millisecond, 0.03
	for end := time.Now().Add(limit); time.Now().Before(end) && ctx.Err() == nil; {
		if load, err := p.CPUOver(ctx, span); err != nil || load < idle {
			return err
		}
	}
	return ctx.Err()
}

// Resident returns how many bytes of memory the program has now.
func (p *Process) Resident() (int64, error) { return p.status("VmRSS") }

// Peak returns the most bytes of memory that the program had, since it began or
// since ResetPeak.
func (p *Process) Peak() (int64, error) { return p.status("VmHWM") }

// ResetPeak has Peak begin anew.
func (p *Process) ResetPeak() error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.Process.Pid), []byte("5"), 0o200)
}

// Read returns how many bytes the program has read from files and connections.
func (p *Process) Read() (n int64, err error) {
	const field = "rchar: "
	stats, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(stats), field)
	_, err = fmt.Sscan(after, &n)
	return n, err
}

func (p *Process) status(field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var kib int64
			_, err := fmt.Sscan(rest, &kib)
			return kib << 10, err
		}
	}
	return 0, errors.New(field + " is not known")
}

// Watches returns how many inotify watches the program holds.
func (p *Process) Watches() (n int, err error) {
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.Process.Pid))
	if err != nil || len(infos) == 0 {
		return 0, fmt.Errorf("watches of process %d: it has ended", p.Process.Pid)
	}
	for _, path := range infos {
		info, err := os.ReadFile(path)
		if err != nil {
			continue // the descriptor is closed
		}
		n += strings.Count(string(info), "inotify wd:")
	}
	return n, nil
}
