//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// diskBelow makes a directory that has a disk at a path below it, with a few files in
// directories. It returns what the disk shows, too.
func diskBelow(t *testing.T, path string) (d *testfleet.Disk, backing, dir string) {
	t.Helper()
	parent := tempDir(t)
	backing, dir = filepath.Join(parent, "backing"), filepath.Join(parent, "dir")
	for i := range 5 {
		write(t, backing, fmt.Sprint("sub", i), "remote")
	}
	must(t, os.MkdirAll(filepath.Join(dir, path), 0o755))
	return newDisk(t, backing, filepath.Join(dir, path)), backing, dir
}

// withDisk starts a scout on a directory that has a disk at "disk" with a few
// files in directories, and files beside it. It returns what the disk shows.
func withDisk(t *testing.T, args ...string) (m *master, s *scout, d *testfleet.Disk, backing string) {
	t.Helper()
	d, backing, dir := diskBelow(t, "disk")
	for i := range 5 {
		write(t, dir, fmt.Sprint("sub", i), "local")
	}
	m = startMaster(t, "-heartbeat", "200ms")
	s = startScout(t, m, "h", dir, append([]string{"-poll", "200ms"}, args...)...)
	converges(t, m, s)
	return m, s, d, backing
}

// fastEnough checks that changes beside the disk are listed at once.
func fastEnough(t *testing.T, m *master, s *scout) {
	t.Helper()
	for i := range 5 {
		name := fmt.Sprint("beside", i)
		write(t, s.dir, name)
		if took := lookFor(t, m, name, true); took > soon {
			t.Errorf("a file beside the disk was listed after %s", took)
		}
		must(t, os.Remove(filepath.Join(s.dir, name)))
		lookFor(t, m, name, false)
	}
}

// unconfirmedFor waits until a fresh list names the scout as unconfirmed for a reason,
// or names nobody if the reason is "".
func unconfirmedFor(t *testing.T, m *master, words string) {
	t.Helper()
	within(t, patience, func() error {
		_, missing, err := m.fresh("fresh=2s")
		if err == nil && (len(missing) > 0 != (words != "") || len(missing) > 1 || words != "" && !strings.Contains(missing[0].Reason, words)) {
			err = fmt.Errorf("unconfirmed: %+v", missing)
		}
		return err
	})
}

// A disk below the directory whose server hangs is set aside: its files stay
// listed, it is named, the rest is as fresh as ever, and it heals by itself.
func TestDiskHangs(t *testing.T) {
	t.Parallel()
	m, s, d, backing := withDisk(t)
	must(t, d.Pause())
	time.Sleep(time.Second) // the poll comes to it
	fastEnough(t, m, s)
	lookFor(t, m, "disk/sub0/remote", true)
	_, err := m.Await(patience, 0, func(e testfleet.Event) bool {
		return e.Msg() == "scout degraded" && strings.Contains(e.Text("reason"), "disk")
	})
	if err != nil {
		t.Errorf("the disk is not named: %v: %s", err, m.Tail())
	}
	unconfirmedFor(t, m, "disk")
	fastEnough(t, m, s)

	write(t, backing, "made meanwhile")
	must(t, d.Continue())
	converges(t, m, s)
	unconfirmedFor(t, m, "")
}

// Whatever hangs, a scout that is told to stop does within a second.
func TestStopWhileDiskHangs(t *testing.T) {
	t.Parallel()
	m, s, d, _ := withDisk(t)
	must(t, d.Pause())
	time.Sleep(time.Second) // the poll comes to it
	fastEnough(t, m, s)
	if took := expectExit(t, s.Process, syscall.SIGTERM, stopTime); took > 2*time.Second {
		t.Errorf("it stopped after %s", took)
	}
}

// A directory that hangs when a scout starts on it makes the start fail with
// one line, within five seconds.
func TestStartOnDiskThatHangs(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	d, _, dir := diskBelow(t, "")
	must(t, d.Pause())
	p := launch(t, scoutCommand(m.GRPC, "h", dir))
	if e := failure(t, p); !strings.Contains(e.Text("error"), dir) {
		t.Errorf("%v", e)
	}
}

// A scout starts while a disk below its directory hangs, and lists the rest.
func TestStartBesideDiskThatHangs(t *testing.T) {
	t.Parallel()
	d, _, dir := diskBelow(t, "disk")
	write(t, dir, "local")
	must(t, d.Pause())
	m := startMaster(t, "-heartbeat", "200ms")
	s := startScout(t, m, "h", dir, "-poll", "200ms")
	lookFor(t, m, "local", true)
	must(t, d.Continue())
	converges(t, m, s)
}

// A disk that takes its time for each request does not delay the rest.
func TestDiskCrawls(t *testing.T) {
	t.Parallel()
	m, s, d, backing := withDisk(t)
	must(t, d.Set(testfleet.DiskFaults{Delay: 40 * time.Millisecond}))
	for i := range 50 {
		write(t, backing, fmt.Sprint("more", i), "remote")
	}
	time.Sleep(time.Second) // the poll comes to it
	fastEnough(t, m, s)
	must(t, d.Set(testfleet.DiskFaults{}))
	converges(t, m, s)
}

// On a disk whose times never move the poll finds the changes all the same.
func TestTimesNeverMove(t *testing.T) {
	t.Parallel()
	m, s, d, backing := withDisk(t)
	must(t, d.Set(testfleet.DiskFaults{Frozen: true}))
	for round := range 3 {
		for i := range 5 {
			write(t, backing, fmt.Sprint("sub", i), fmt.Sprint("behind its back ", round))
			os.Remove(filepath.Join(backing, fmt.Sprint("sub", i), fmt.Sprint("behind its back ", round-1)))
		}
		converges(t, m, s)
	}
}

// A part that fails to list is named and its files stay; the directory itself
// makes the scout unavailable. Both heal.
func TestDirectoryFailsToList(t *testing.T) {
	t.Parallel()
	t.Run("a part", func(t *testing.T) {
		t.Parallel()
		m, s, d, backing := withDisk(t)
		must(t, d.Set(testfleet.DiskFaults{Failing: true}))
		write(t, backing, "made while it fails")
		unconfirmedFor(t, m, "disk")
		fastEnough(t, m, s)
		must(t, d.Set(testfleet.DiskFaults{}))
		converges(t, m, s)
	})
	t.Run("the directory", func(t *testing.T) {
		t.Parallel()
		d, backing, dir := diskBelow(t, "")
		m := startMaster(t, "-heartbeat", "200ms")
		s := startScout(t, m, "h", dir, "-poll", "200ms")
		converges(t, m, s)
		must(t, d.Set(testfleet.DiskFaults{Failing: true}))
		write(t, backing, "other")
		unconfirmedFor(t, m, "input/output error")
		must(t, d.Set(testfleet.DiskFaults{}))
		converges(t, m, s)
	})
}

// A mount and an unmount below the directory show at once, and so does a quick
// unmount and mount of the same disk, after which all watches are dead. The
// poll is off.
func TestMountsShowAtOnce(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m, dir := startMaster(t), dirOf(t, "local")
	at := filepath.Join(dir, "at")
	write(t, at, "underneath")
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	mount := func(args ...string) {
		t.Helper()
		must(t, testfleet.Run(args...))
	}
	disk := tempDir(t)
	mount("mount", "-t", "tmpfs", "none", disk)
	t.Cleanup(func() { exec.Command("umount", "-l", disk).Run() })
	t.Cleanup(func() { exec.Command("umount", "-l", at).Run() })
	write(t, disk, "on the disk")
	for range 2 {
		mount("mount", "--bind", disk, at)
		if took := converges(t, m, s); took > 2*soon {
			t.Errorf("a mount was seen after %s", took)
		}
		mount("umount", at)
		mount("mount", "--bind", disk, at)
		write(t, at, "after both")
		if took := converges(t, m, s); took > 2*soon {
			t.Errorf("a change after an unmount and a mount was seen after %s", took)
		}
		must(t, os.Remove(filepath.Join(at, "after both")))
		converges(t, m, s)
		mount("umount", at)
		if took := converges(t, m, s); took > 2*soon {
			t.Errorf("an unmount was seen after %s", took)
		}
	}
}

// Directories that have left the tree hold no watch.
func TestDirectoriesThatHaveLeft(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	archive := tempDir(t)
	write(t, s.at("stays"), "file")
	converges(t, m, s)
	before, err := s.Watches()
	must(t, err)
	for i := range rounds(300) {
		name := fmt.Sprint("d", i)
		write(t, s.at(name), "file")
		if i%10 == 0 {
			converges(t, m, s)
		}
		must(t, os.Rename(s.at(name), filepath.Join(archive, name)))
	}
	converges(t, m, s)
	within(t, patience, func() error {
		after, err := s.Watches()
		if err == nil && after > before {
			err = fmt.Errorf("%d watches are held, %d before", after, before)
		}
		return err
	})
	from := len(s.Events())
	for i := range rounds(300) {
		write(t, archive, fmt.Sprint("d", i), "more")
	}
	write(t, s.at("last"))
	converges(t, m, s)
	never(t, s.Process, from, "events lost")
}
