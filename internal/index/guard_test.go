package index

import (
	"runtime"
	"testing"
)

// cost returns what one run of f allocates: that does not depend on how fast
// the machine is, so it can be held to a bound anywhere.
func cost(f func()) (allocs, bytes float64) {
	const runs = 5
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else allocates meanwhile
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}

func TestCostOfOneChange(t *testing.T) {
	ix := numbered(1_000_000)
	edit := Edit{Removed: new(Index), Added: buildNames(0, "d00000/f000050x")}
	var changed *Index
	allocs, bytes := cost(func() {
		var err error
		if changed, err = ix.Apply(edit); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 || bytes > 128<<10 {
		t.Errorf("a change among a million names allocates %.0f times, %.0f bytes", allocs, bytes)
	}
	none := func([]byte) {}
	allocs, bytes = cost(func() { Diff(ix, changed, none, none) })
	if allocs > 20 || bytes > 4<<10 {
		t.Errorf("comparing a million names with one more allocates %.0f times, %.0f bytes", allocs, bytes)
	}
}

func TestCostOfEachName(t *testing.T) {
	const n = 10_000
	var names [][]byte
	for c := numbered(n).Cursor(); c.Next(); {
		names = append(names, append([]byte(nil), c.Name()...))
	}
	var ix *Index
	allocs, bytes := cost(func() {
		var b Builder
		for _, name := range names {
			b.Add(name, 0)
		}
		ix = b.Index()
	})
	if allocs/n > 0.1 || bytes/n > 40 {
		t.Errorf("building allocates %.3f times, %.0f bytes for each name", allocs/n, bytes/n)
	}
	if each := float64(ix.Size()) / n; each > 6 {
		t.Errorf("a name takes %.1f bytes", each)
	}
	allocs, bytes = cost(func() {
		for c := ix.Cursor(); c.Next(); {
			_ = c.Name()
		}
	})
	if allocs > 20 || bytes > 4<<10 {
		t.Errorf("reading %d names allocates %.0f times, %.0f bytes", n, allocs, bytes)
	}
}
