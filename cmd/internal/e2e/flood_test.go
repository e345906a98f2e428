//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// queued is how many events the kernel keeps for who does not read them.
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
	if lost := events(s.Process, 0, "events lost"); len(lost) < 1 || len(lost) > 4 {
		t.Errorf("it says %d times that events were lost: %s", len(lost), tail(s.Process))
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
	m, s, at := scriptIn(t, roomyDir(t))
	create(t, s.dir, n)
	t.Logf("%d files: converged after %s", n, convergesWithin(t, time.Minute, m, s))
	must(t, os.Mkdir(at("sub"), 0o755))
	for i := range n {
		must(t, os.Remove(at(fmt.Sprintf("%07d", i))))
	}
	t.Logf("removed again: converged after %s", convergesWithin(t, time.Minute, m, s))
	write(t, at("sub"), "later")
	converges(t, m, s)
	if n := len(events(m.Process, 0, "scout dropped")); n > 0 {
		t.Errorf("%s", tail(m.Process))
	}
}

// Floods again and again: the list keeps up in between, and the scout does not
// spend all its time on looking everywhere.
func TestFloodsAgainAndAgain(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes a minute")
	}
	m, s, at := scriptIn(t, roomyDir(t))
	for i := range 200 {
		write(t, at(fmt.Sprint("quiet", i)), "file")
	}
	for began := time.Now(); time.Since(began) < time.Minute; {
		create(t, s.dir, 20_000)
		for i := range 20_000 {
			must(t, os.Remove(at(fmt.Sprintf("%07d", i))))
		}
	}
	t.Logf("converged after %s", convergesWithin(t, time.Minute, m, s))
	write(t, at("quiet7"), "later")
	converges(t, m, s)
}
