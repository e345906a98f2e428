//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
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
		shown := m.Logged(0, "files synced")
		if len(shown) == 0 {
			return fmt.Errorf("nothing was shown: %s", s.Tail())
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
	if n := len(m.Logged(0, "scout registered")); n != 1 {
		t.Errorf("%d registrations: %s", n, m.Tail())
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
		create(t, sub, 200)
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
	awaitReason(t, m.Process, "scout hidden", "scanning")
	never(t, m.Process, 0, "scout dropped")
}

// queued is the length of the kernel's event queue.
func queued(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	if n > 100_000 {
		t.Skipf("a queue of %d events takes long to overflow", n)
	}
	return n
}

// The kernel's queue overflows while the scout is frozen: when it wakes it is
// exact within moments, without the poll, and has said so once.
func TestQueueOverflow(t *testing.T) {
	t.Parallel()
	n := queued(t) * 5 / 4
	m := startMaster(t, "-deadline", "1h")
	dir := roomyDir(t)
	for i := range 20 {
		write(t, dir, fmt.Sprint("sub", i), "old")
	}
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	for round := range rounds(2) {
		signal(t, s.Process, syscall.SIGSTOP)
		crowd := filepath.Join(dir, fmt.Sprint("crowd", round))
		must(t, os.Mkdir(crowd, 0o755))
		must(t, os.Mkdir(filepath.Join(dir, "crowd"), 0o755))
		create(t, dir, n/2) // of these there are events, and the queue is full
		for i := range n / 2 {
			must(t, os.Remove(filepath.Join(dir, fmt.Sprintf("%07d", i))))
		}
		create(t, crowd, 100)
		for i := range 20 { // of these there are none
			sub := filepath.Join(dir, fmt.Sprint("sub", i))
			write(t, sub, fmt.Sprint("new ", round))
			must(t, os.RemoveAll(filepath.Join(sub, "old")))
			must(t, os.Rename(sub, sub+"-moved"))
			write(t, sub, "old")
		}
		must(t, os.RemoveAll(filepath.Join(dir, "crowd")))
		signal(t, s.Process, syscall.SIGCONT)
		t.Logf("converged after %s", convergesWithin(t, time.Minute, m, s))
		for i := range 20 { // and what is there now is followed
			write(t, dir, fmt.Sprint("sub", i), fmt.Sprint("later ", round))
			must(t, os.RemoveAll(filepath.Join(dir, fmt.Sprint("sub", i, "-moved"))))
		}
		write(t, crowd, "later")
		converges(t, m, s)
	}
	if lost := s.Logged(0, "events lost"); len(lost) < 1 || len(lost) > 4 {
		t.Errorf("it says %d times that events were lost: %s", len(lost), s.Tail())
	}
}

// A hundred thousand files at once, and gone at once: exact, without the poll,
// and the scout is never taken for dead.
func TestBurst(t *testing.T) {
	t.Parallel()
	n := 100_000
	if raced {
		n = rounds(20_000)
	}
	m, s := startPairIn(t, roomyDir(t))
	create(t, s.dir, n)
	t.Logf("%d files: converged after %s", n, convergesWithin(t, time.Minute, m, s))
	must(t, os.Mkdir(s.at("sub"), 0o755))
	for i := range n {
		must(t, os.Remove(s.at(fmt.Sprintf("%07d", i))))
	}
	t.Logf("removed again: converged after %s", convergesWithin(t, time.Minute, m, s))
	write(t, s.at("sub"), "later")
	converges(t, m, s)
	never(t, m.Process, 0, "scout dropped")
}

// Floods again and again: the list keeps up in between, and the scout does not
// spend all its time on looking everywhere.
func TestFloodsAgainAndAgain(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes a minute")
	}
	m, s := startPairIn(t, roomyDir(t))
	for i := range 200 {
		write(t, s.at(fmt.Sprint("quiet", i)), "file")
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		create(t, s.dir, 20_000)
		for i := range 20_000 {
			must(t, os.Remove(s.at(fmt.Sprintf("%07d", i))))
		}
	}
	t.Logf("converged after %s", convergesWithin(t, time.Minute, m, s))
	write(t, s.at("quiet7"), "later")
	converges(t, m, s)
}
