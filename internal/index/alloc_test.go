package index

import (
	"fmt"
	"testing"

	"scout/internal/alloctest"
)

func TestCostOfOneChange(t *testing.T) {
	ix := numbered(1_000_000)
	edit := Edit{Removed: new(Index), Added: buildNames(0, "d00000/f000050x")}
	var changed *Index
	allocs, bytes := alloctest.Cost(func() {
		var err error
		if changed, err = ix.Apply(nil, edit); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 40 || bytes > 24<<10 {
		t.Errorf("a change among a million names allocates %.0f times, %.0f bytes", allocs, bytes)
	}
	none := func([]byte) {}
	allocs, bytes = alloctest.Cost(func() { Diff(ix, changed, none, none) })
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
	allocs, bytes := alloctest.Cost(func() {
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
	allocs, bytes = alloctest.Cost(func() {
		for c := ix.Cursor(); c.Next(); {
			_ = c.Name()
		}
	})
	if allocs > 20 || bytes > 4<<10 {
		t.Errorf("reading %d names allocates %.0f times, %.0f bytes", n, allocs, bytes)
	}
}

func TestCostOfMerging(t *testing.T) {
	const n = 100_000
	var halves [2]Builder
	for i := range n {
		halves[i%2].Add(fmt.Appendf(nil, "d%05d/f%06d", i/100, i), uint32(i%2))
	}
	a, b := halves[0].Index(), halves[1].Index()
	var merged *Index
	all := func(uint32) bool { return true }
	allocs, bytes := alloctest.Cost(func() { merged = Merge(nil, all, a, b) })
	if allocs/n > 0.001 || bytes/n > 12 {
		t.Errorf("merging allocates %.5f times, %.0f bytes for each name", allocs/n, bytes/n)
	}
	if merged.Len() != n {
		t.Errorf("%d of %d names are merged", merged.Len(), n)
	}
}
