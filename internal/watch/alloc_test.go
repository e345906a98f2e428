package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"scout/internal/alloctest"
)

func TestCostOfThePoll(t *testing.T) {
	const directories = 500
	dir := t.TempDir()
	for i := range directories {
		sub := filepath.Join(dir, fmt.Sprintf("dir-%05d", i))
		mkdir(t, sub)
		write(t, filepath.Join(sub, "file"))
	}
	f := scanned(t, dir, quietNotifier)
	time.Sleep(30 * time.Millisecond) // until the stamps are old enough to be trusted
	f.rescan()
	allocs, bytes := alloctest.Cost(func() { f.rescan() })
	if allocs/directories > 0.05 || bytes/directories > 16 {
		t.Errorf("a poll allocates %.2f times, %.0f bytes for each directory that has not changed", allocs/directories, bytes/directories)
	}
}

func TestCostOfOneChange(t *testing.T) {
	const n = 5_000
	dir := t.TempDir()
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("file-%06d.dat", i)))
	}
	f := scanned(t, dir, quietNotifier)
	change := func(do func(path string) error) {
		if err := do(filepath.Join(dir, "file-000050.new")); err != nil {
			t.Fatal(err)
		}
		f.follow(findings{names: map[string]map[string]change{"": {"file-000050.new": 0}}})
		must(t, f.settle())
	}
	allocs, bytes := alloctest.Cost(func() {
		change(func(path string) error { return os.WriteFile(path, nil, 0o600) })
		change(os.Remove)
	})
	if allocs > 2*150 || bytes > 2*128<<10 {
		t.Errorf("two changes in a directory of %d files allocate %.0f times, %.0f bytes", n, allocs, bytes)
	}
	if got := f.forest.View().Set.Len(); got != n {
		t.Errorf("%d files are known, want %d", got, n)
	}
}

func TestCostOfTheScan(t *testing.T) {
	const directories, each = 50, 100
	dir := t.TempDir()
	for i := range directories {
		sub := filepath.Join(dir, fmt.Sprintf("dir-%05d", i))
		mkdir(t, sub)
		for j := range each {
			write(t, filepath.Join(sub, fmt.Sprintf("file-%06d.dat", j)))
		}
	}
	const n = directories * each
	allocs, bytes := alloctest.Cost(func() { scanned(t, dir, quietNotifier).forest.claim.Release() })
	if allocs/n > 0.5 || bytes/n > 400 {
		t.Errorf("a scan allocates %.2f times, %.0f bytes for each file", allocs/n, bytes/n)
	}
}
