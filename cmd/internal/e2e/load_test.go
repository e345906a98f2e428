//go:build linux

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"strconv"
	"strings"
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

// A fleet on three scoutmasters over three NATS servers: all scouts are listed by each,
// an idle fleet writes only signs of life into the log, and when a scoutmaster is killed
// its scouts are let in elsewhere without sending their files again, nobody lists less
// meanwhile, and nobody is dropped. `make load` does this with 10,000 scouts and prints
// the figures: there one machine runs all scouts too, so that these have to be heard
// every 5 s instead of each second.
func TestFleetLoad(t *testing.T) {
	const each = 3 // files
	n, heartbeat, watch := 300, time.Second, 5*time.Second
	if *long {
		n, heartbeat, watch = *fleetSize, 5*time.Second, 30*time.Second
	}
	f := startFleet(t, 3, 3, "-heartbeat", heartbeat.String(), "-deadline", (3 * heartbeat).String(), "-cut-off", (15 * heartbeat).String())
	began := time.Now()
	playWith(t, strings.Split(f.Addresses(), ","), n, each)
	for _, m := range f.masters {
		m.listsAll(t, n*each)
	}
	t.Logf("%d scouts with %d files each: all listed by three scoutmasters %s after the first began", n, each, time.Since(began).Round(time.Millisecond))

	for _, m := range f.masters {
		must(t, m.Rest(t.Context(), restTime))
	}
	f.idles(t, heartbeat, watch)
	from, moving := f.logged(), f.masters[0].registered(t)
	if moving == 0 {
		t.Fatal("no scout has come to the first scoutmaster")
	}
	done := f.masters[1].neverListsLess(t, n*each)
	f.kill(0)
	died := time.Now()
	took := within(t, 2*time.Minute, func() error {
		if here := f.masters[1].registered(t) + f.masters[2].registered(t); here != n {
			return fmt.Errorf("%d scouts are registered, of %d", here, n)
		}
		return nil
	})
	t.Logf("a scoutmaster killed: its %d scouts are registered elsewhere after %s", moving, took.Round(time.Millisecond))
	f.lost(0, from, "silent past deadline")
	time.Sleep(time.Until(died.Add(2*3*heartbeat + 2*heartbeat))) // what has not moved is dropped by then
	must(t, done())
	sent := 0
	for i, m := range f.masters[1:] {
		m.listsAll(t, n*each)
		for _, e := range m.Logged(from[i+1], "files synced") {
			sent += int(e.Number("added"))
		}
	}
	if sent > n*each/100 {
		t.Errorf("%d files were sent again", sent)
	}
}

// idles watches a fleet in which nothing happens: the log gets a sign of life of each
// scoutmaster at each heartbeat.
func (f *fleet) idles(t *testing.T, heartbeat, watch time.Duration) {
	t.Helper()
	used := make([]time.Duration, len(f.masters))
	for i, m := range f.masters {
		used[i] = cpu(t, m.Process)
	}
	before, began := f.stream().State.LastSeq, time.Now()
	time.Sleep(watch)
	entries, took := int(f.stream().State.LastSeq-before), time.Since(began)
	most := len(f.masters) * (1 + int(took/heartbeat))
	shares := make([]string, len(f.masters))
	for i, m := range f.masters {
		shares[i] = fmt.Sprintf("%.0f %%, %d MiB", 100*(cpu(t, m.Process)-used[i]).Seconds()/took.Seconds(), resident(t, m.Process))
	}
	t.Logf("idle: %d entries in %s; the scoutmasters: %s", entries, took.Round(time.Second), strings.Join(shares, "; "))
	if entries == 0 || entries > most {
		t.Errorf("the log got %d entries in %s, want 1 to %d", entries, took, most)
	}
}

// registered is how many live scouts are registered with a scoutmaster.
func (m *master) registered(t *testing.T) int {
	t.Helper()
	const series = `scoutmaster_scouts{state="live"} `
	page, err := m.Get("/metrics")
	must(t, err)
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, series); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			must(t, err)
			return n
		}
	}
	t.Fatalf("%s has no %s", m.HTTP, series)
	return 0
}

// neverListsLess reads the list again and again until it is told to stop, and returns
// an error if one had fewer files than n.
func (m *master) neverListsLess(t *testing.T, n int) (stop func() error) {
	t.Helper()
	return repeat(t, 100*time.Millisecond, func() error {
		body, err := m.Get("/files")
		if got := bytes.Count(body, []byte(`{"filename"`)); err == nil && got < n {
			err = fmt.Errorf("%d files are listed, of %d", got, n)
		}
		return err
	})
}

// play plays n scouts of one file each until the test ends.
func play(t *testing.T, masters []string, n int) {
	t.Helper()
	playWith(t, masters, n, 1)
}

// playWith plays n scouts of so many files each until the test ends.
func playWith(t *testing.T, masters []string, n, each int) {
	t.Helper()
	sources := make([]*testfleet.Directory, n)
	for i := range sources {
		sources[i] = testfleet.NewDirectory(filestest.Names(i, each, filestest.Apart))
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
