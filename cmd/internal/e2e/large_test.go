//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// roomyDir is a directory in memory, where there is one: these tests are about
// the programs, not about how fast a disk makes files.
func roomyDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "scout-e2e-")
	if err != nil {
		return tempDir(t)
	}
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// lookFor waits until a file is listed, or is not any more, without reading the
// whole list, and returns how long that took.
func lookFor(t *testing.T, m *master, name string, listed bool) time.Duration {
	t.Helper()
	return within(t, time.Minute, func() error {
		body, err := m.Get("/files?prefix=" + name)
		if err == nil && strings.Contains(string(body), `"`+name+`"`) != listed {
			err = fmt.Errorf("of %s: %s", name, body)
		}
		return err
	})
}

// Three hundred thousand files in one directory, far beyond any message limit:
// one registration, the whole list at once or nothing, and then one file more
// is as quick as ever.
func TestLargeFlatDirectory(t *testing.T) {
	if testing.Short() || raced && !*long {
		t.Skip("takes long")
	}
	dir := roomyDir(t)
	create(t, dir, 300_000)
	proveLarge(t, dir, 300_000)
}

// A million files in ten thousand directories likewise.
func TestLargeTree(t *testing.T) {
	if !*long {
		t.Skip("takes minutes")
	}
	dir := roomyDir(t)
	var workers sync.WaitGroup
	for worker := range 2 {
		workers.Go(func() {
			for i := worker; i < 10_000; i += 2 {
				sub := filepath.Join(dir, fmt.Sprintf("%02d/%02d", i/100, i%100))
				if err := os.MkdirAll(sub, 0o755); err != nil {
					t.Error(err)
				}
				create(t, sub, 100)
			}
		})
	}
	workers.Wait()
	proveLarge(t, dir, 1_000_000)
}

// proveLarge starts a scout on a large directory and touches it.
func proveLarge(t *testing.T, dir string, n int) {
	t.Helper()
	m := startMaster(t)
	began := time.Now()
	s := startScout(t, m, "h", dir)
	registered := time.Since(began)
	within(t, 2*time.Minute, func() error {
		shown := events(m.Process, 0, "files synced")
		if len(shown) == 0 {
			return fmt.Errorf("nothing was shown: %s", tail(s.Process))
		}
		if files := int(shown[0].Number("files")); files != n {
			t.Fatalf("%d files were shown, of %d: %v", files, n, shown[0])
		}
		return nil
	})
	t.Logf("%d files: registered after %s, listed after %s", n, registered, time.Since(began))
	convergesWithin(t, 2*time.Minute, m, s)

	var slowest time.Duration
	for i := range 20 {
		name := fmt.Sprint("touched", i)
		write(t, dir, name)
		slowest = max(slowest, lookFor(t, m, name, true))
		must(t, os.Remove(filepath.Join(dir, name)))
		slowest = max(slowest, lookFor(t, m, name, false))
	}
	t.Logf("the slowest of 40 changes was seen after %s", slowest)
	t.Logf("resident: the master %d MiB, the scout %d MiB", resident(t, m.Process), resident(t, s.Process))

	kill(t, s.Process)
	gone := within(t, soon, func() error {
		body, err := m.Get("/files?prefix=0")
		if err == nil && string(body) != `{"files":[]}` {
			err = fmt.Errorf("%d bytes are listed", len(body))
		}
		return err
	})
	t.Logf("gone %s after the kill", gone)
	if n := len(events(m.Process, 0, "scout registered")); n != 1 {
		t.Errorf("%d registrations: %s", n, tail(m.Process))
	}
}

// A first scan that takes longer than the deadline: the scout is connected and
// scanning, hidden and not dropped. Patterns without end make it slow, on a
// fast disk too.
func TestScanLongerThanDeadline(t *testing.T) {
	t.Parallel()
	const deadline = time.Second
	dir := tempDir(t)
	patterns := 8000
	if raced {
		patterns = 2000
	}
	var args []string
	for i := range patterns {
		args = append(args, "-exclude", fmt.Sprintf("**/*a*b*c*%d", i))
	}
	for i := range 100 {
		sub := filepath.Join(dir, fmt.Sprint(i))
		must(t, os.Mkdir(sub, 0o755))
		create(t, sub, 40)
	}
	m := startMaster(t, "-heartbeat", "100ms", "-deadline", deadline.String())
	s := startScout(t, m, "h", dir, args...)
	converges(t, m, s)
	scanned := await(t, s.Process, "directory scanned")
	took := scanned.Time().Sub(await(t, s.Process, "registered").Time())
	t.Logf("the scan took %s", took)
	if took < deadline {
		t.Errorf("the scan took %s only", took)
	}
	if e := await(t, m.Process, "scout hidden"); e.Text("reason") != "scanning" {
		t.Errorf("%v", e)
	}
	if dropped := events(m.Process, 0, "scout dropped"); len(dropped) > 0 {
		t.Errorf("%v", dropped)
	}
}
