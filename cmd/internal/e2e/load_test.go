//go:build linux

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
)

// fleetSize is how many scouts TestLoad plays.
var fleetSize = flag.Int("scouts", 1000, "how many scouts TestLoad plays")

// restTime is how long a master may take to come to rest.
const restTime = 20 * time.Second

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
	play(t, []string{m.GRPC}, n)
	t.Logf("%d scouts: all listed %s after the first began", n, m.listsAll(t, n))

	must(t, m.Rest(t.Context(), restTime))
	from := len(m.Events())
	steady := resident(t, m.Process)
	used, err := m.CPUOver(t.Context(), watch)
	must(t, err)
	t.Logf("idle: %d MiB resident, %.0f %% of one processor", steady, 100*used)
	never(t, m.Process, from, "scout dropped")

	kill(t, m.Process)
	m = startMaster(t, ports...)
	took := m.listsAll(t, n)
	busy := cpu(t, m.Process)
	must(t, m.Rest(t.Context(), restTime))
	t.Logf("the master killed and started again: all listed after %s, for %s of processor time; at most %d scouts came within 100 ms",
		took.Round(time.Millisecond), busy.Round(time.Millisecond), m.crowd(t))
	peak, err := m.Peak()
	must(t, err)
	most, after := int(peak>>20), resident(t, m.Process)
	t.Logf("its memory: %d MiB at most, %d MiB when all were back", most, after)
	if limit := 30 * time.Second; took > limit {
		t.Errorf("all listed only after %s", took)
	}
	if bound := 2*steady + 64; most > bound && !raced {
		t.Errorf("it had %d MiB, with a bound of %d", most, bound)
	}
}

// All scouts of a scoutmaster move at once. They are let in elsewhere without
// sending their files again, nobody lists less meanwhile, and nobody is dropped.
func TestFleetLoad(t *testing.T) {
	if !*long {
		t.Skip("TestFleetManyScoutsMove does it in small: run this one with -long")
	}
	n := *fleetSize
	f := newFleet(t, 3, 3, "-heartbeat", "1s", "-deadline", "3s", "-cut-off", "15s")
	f.start(0)
	play(t, []string{f.Address(0), f.Address(1), f.Address(2)}, n)
	t.Logf("%d scouts at one scoutmaster: all listed after %s", n, f.masters[0].listsAll(t, n))
	f.start(1)
	f.start(2)
	f.masters[1].listsAll(t, n)
	from := []int{len(f.masters[1].Events()), len(f.masters[2].Events())}

	f.kill(0)
	began := time.Now()
	within(t, 2*time.Minute, func() error {
		body, err := f.masters[1].Get("/files")
		if got := bytes.Count(body, []byte(`{"filename"`)); err == nil && got != n {
			t.Fatalf("%d files are listed, of %d", got, n)
		}
		if err != nil {
			return err
		}
		if moved := len(f.masters[1].Logged(from[0], "scout registered")) + len(f.masters[2].Logged(from[1], "scout registered")); moved < n {
			return fmt.Errorf("%d scouts have moved, of %d", moved, n)
		}
		return nil
	})
	t.Logf("the scoutmaster killed: all have moved after %s", time.Since(began).Round(time.Millisecond))
	sent := 0
	for i, m := range f.masters[1:] {
		for _, e := range m.Logged(from[i], "files synced") {
			sent += int(e.Number("added"))
		}
	}
	if sent > n/100 {
		t.Errorf("%d files were sent again", sent)
	}
	f.masters[1].listsAll(t, n)
	f.masters[2].listsAll(t, n)
}

// play plays n scouts of one file each until the test ends.
func play(t *testing.T, masters []string, n int) {
	t.Helper()
	sources := make([]*testfleet.Directory, n)
	for i := range sources {
		sources[i] = testfleet.NewDirectory(filestest.Names(i, 1, filestest.Apart))
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- (&testfleet.PlayedScouts{Masters: masters, Directories: sources}).Run(ctx) }()
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
		body, err := m.Get("/files")
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
	for _, e := range m.Logged(0, "scout registered") {
		times = append(times, e.Time())
		for times[len(times)-1].Sub(times[0]) > 100*time.Millisecond {
			times = times[1:]
		}
		most = max(most, len(times))
	}
	return most
}
