//go:build linux

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
)

// fleetSize is how many scouts TestLoad plays.
var fleetSize = flag.Int("scouts", 1000, "how many scouts TestLoad plays")

// A fleet on one master: all of it is listed, costs little while nothing
// happens, loses nobody, and is back within half a minute, spread out and in bounded
// memory, when the master was killed and started again. `make load` does this
// with 10,000 scouts and prints the figures.
func TestLoad(t *testing.T) {
	n, watch := *fleetSize, 10*time.Second
	ports := []string{"-grpc", freePort(t), "-http", freePort(t)}
	if testing.Short() || raced {
		n = min(n, 200)
	}
	if !*long { // the machine may have much else to do
		watch = time.Second
		ports = append(ports, "-deadline", "15s")
	}
	m := startMaster(t, ports...)
	play(t, m, n)
	t.Logf("%d scouts: all listed %s after the first began", n, m.listsAll(t, n))

	m.calm(t)
	from := len(m.Events())
	steady, used := m.resident(t), m.cpuOver(t, watch)
	t.Logf("idle: %d MiB resident, %.0f %% of one processor", steady, 100*used)
	if dropped := events(m.Process, from, "scout dropped"); len(dropped) > 0 {
		t.Errorf("%d scouts were dropped, such as %v", len(dropped), dropped[0])
	}

	kill(t, m.Process)
	m = startMaster(t, ports...)
	took := m.listsAll(t, n)
	busy := cpu(t, m.pid())
	m.calm(t)
	t.Logf("the master killed and started again: all listed after %s, for %s of processor time; at most %d scouts came within 100 ms",
		took.Round(time.Millisecond), busy.Round(time.Millisecond), m.crowd(t))
	peak, after := sizeOf(t, m.pid(), "VmHWM"), m.resident(t)
	t.Logf("its memory: %d MiB at most, %d MiB when all were back", peak, after)
	if limit := 30 * time.Second; took > limit {
		t.Errorf("all listed only after %s", took)
	}
	if most := 2*steady + 64; peak > most && !raced {
		t.Errorf("it had %d MiB, with a bound of %d", peak, most)
	}
}

// play plays n scouts of one file each until the test ends.
func play(t *testing.T, m *master, n int) {
	t.Helper()
	sources := make([]*testfleet.Directory, n)
	for i := range sources {
		sources[i] = testfleet.NewDirectory(filestest.Names(i, 1, filestest.Apart))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&testfleet.PlayedScouts{Master: m.grpc, Directories: sources}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the fleet has ended: %v", err)
		}
	})
}

// listsAll waits until n files are listed, and returns how long that took.
func (m *master) listsAll(t *testing.T, n int) time.Duration {
	t.Helper()
	return within(t, 2*time.Minute, func() error {
		body, err := m.get("/files")
		if got := bytes.Count(body, []byte(`{"filename"`)); err == nil && got != n {
			err = fmt.Errorf("%d files are listed, of %d", got, n)
		}
		return err
	})
}

// crowd is the most scouts that registered within a tenth of a second.
func (m *master) crowd(t *testing.T) (most int) {
	t.Helper()
	var times []time.Time
	for _, e := range events(m.Process, 0, "scout registered") {
		times = append(times, eventTime(t, e))
		for times[len(times)-1].Sub(times[0]) > 100*time.Millisecond {
			times = times[1:]
		}
		most = max(most, len(times))
	}
	return most
}

func (m *master) pid() int { return m.Process.Process.Pid }

func (m *master) resident(t *testing.T) int { return resident(t, m.pid()) }

// cpuOver is how much of one processor the master uses in the time to come.
func (m *master) cpuOver(t *testing.T, d time.Duration) float64 {
	t.Helper()
	before, began := cpu(t, m.pid()), time.Now()
	time.Sleep(d)
	return (cpu(t, m.pid()) - before).Seconds() / time.Since(began).Seconds()
}

// calm waits until the master has little more to do than it will have from then
// on, or for a while.
func (m *master) calm(t *testing.T) {
	t.Helper()
	for last, end := 2.0, time.Now().Add(20*time.Second); time.Now().Before(end); {
		now := m.cpuOver(t, time.Second/2)
		if now < 0.05 || now > 0.8*last && now < 1 {
			return
		}
		last = now
	}
}

// cpu is the processor time that a process has used.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	must(t, err)
	var sum time.Duration
	for _, path := range stats {
		var ns int64
		if text, err := os.ReadFile(path); err == nil { // or the thread has ended
			_, err = fmt.Sscan(string(text), &ns)
			must(t, err)
		}
		sum += time.Duration(ns)
	}
	return sum
}

// sizeOf is a size that the kernel tells of a process, in MiB.
func sizeOf(t *testing.T, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var kib int
			_, err := fmt.Sscan(rest, &kib)
			must(t, err)
			return kib >> 10
		}
	}
	t.Fatalf("no %s of process %d", field, pid)
	return 0
}
