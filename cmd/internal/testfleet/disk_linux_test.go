package testfleet_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scout/cmd/internal/testfleet"
)

func TestMain(m *testing.M) {
	testfleet.ServeDisk()
	os.Exit(m.Run())
}

// A disk shows its directory, and hangs, crawls, fails and lies as it is told.
func TestDisk(t *testing.T) {
	if err := testfleet.DisksWork(); err != nil {
		t.Skipf("SKIPPED: no FUSE here: %v", err)
	}
	backing, dir := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(backing, "file"), nil, 0o600))
	d, err := testfleet.MountDisk(backing, dir)
	must(t, err)
	t.Cleanup(d.Unmount)
	list := func() (int, error) {
		entries, err := os.ReadDir(dir)
		return len(entries), err
	}
	if n, err := list(); n != 1 || err != nil {
		t.Errorf("it lists %d entries: %v", n, err)
	}

	must(t, d.Set(testfleet.DiskFaults{Failing: true}))
	if _, err := list(); !errors.Is(err, unix.EIO) {
		t.Errorf("a failing disk: %v", err)
	}

	must(t, d.Set(testfleet.DiskFaults{Frozen: true}))
	before, err := os.Stat(dir)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(backing, "other"), nil, 0o600))
	after, err := os.Stat(dir)
	must(t, err)
	if n, _ := list(); n != 2 || !before.ModTime().Equal(after.ModTime()) {
		t.Errorf("its time moved from %s to %s, with %d entries", before.ModTime(), after.ModTime(), n)
	}

	must(t, d.Set(testfleet.DiskFaults{Delay: 100 * time.Millisecond}))
	began := time.Now()
	_, err = os.Stat(dir)
	must(t, err)
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("it answered after %s", took)
	}

	must(t, d.Set(testfleet.DiskFaults{}))
	must(t, d.Pause())
	done := make(chan error, 1)
	go func() {
		_, err := list()
		done <- err
	}()
	select {
	case err := <-done:
		t.Errorf("a disk that hangs has answered: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	must(t, d.Continue())
	must(t, <-done)
}

// A small disk is full after Fill for those who enter its namespace, and nobody else
// sees it.
func TestSmallDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	d, err := testfleet.MountSmallDisk(dir, 1)
	if err != nil {
		t.Skipf("SKIPPED: no mount namespaces here: %v", err)
	}
	t.Cleanup(d.Kill)
	inside := func(name string) error {
		return testfleet.Run(append(d.Enter(), "sh", "-c", `echo x > "$0"`, filepath.Join(dir, name))...)
	}
	must(t, inside("before"))
	must(t, d.Fill())
	if inside("meanwhile") == nil {
		t.Error("a full disk takes another file")
	}
	must(t, os.WriteFile(filepath.Join(dir, "outside"), []byte("x"), 0o600))
	must(t, d.Empty())
	must(t, inside("after"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
