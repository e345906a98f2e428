package files

import (
	"fmt"
	"slices"
	"testing"

	"scout/internal/alloctest"
)

// many returns a Set of n paths, a hundred in each directory.
func many(n int) *Set {
	var b Builder
	var name []byte
	for i := range n {
		name = fmt.Appendf(name[:0], "some/directory/d%05d/file-%06d.txt", i/100, i%100)
		b.Add(name)
	}
	return b.Set()
}

func TestCostOfOneChange(t *testing.T) {
	s := many(100_000)
	d := Delta{Removed: setOf("some/directory/d00700/file-000007.txt"), Added: setOf("some/directory/d00300/new")}
	var changed *Set
	allocs, bytes := alloctest.Cost(func() {
		var err error
		if changed, err = s.Apply(d); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 100 || bytes > 128<<10 {
		t.Errorf("a change among 100,000 names allocates %.0f times, %.0f bytes", allocs, bytes)
	}
	allocs, bytes = alloctest.Cost(func() { Diff(s, changed) })
	if allocs > 50 || bytes > 16<<10 {
		t.Errorf("the difference of 100,000 names and one more allocates %.0f times, %.0f bytes", allocs, bytes)
	}
}

func TestCostOfTheWire(t *testing.T) {
	const n = 10_000
	s := many(n)
	size := 0
	allocs, _ := alloctest.Cost(func() {
		size = 0
		for part := range s.Parts(64 << 10) {
			size += len(part)
		}
	})
	if each := float64(size) / n; allocs/n > 0.01 || each > 10 {
		t.Errorf("encoding allocates %.3f times for each name, of which it makes %.1f bytes", allocs/n, each)
	}
	var parts [][]byte
	for part := range s.Parts(64 << 10) {
		parts = append(parts, slices.Clone(part))
	}
	allocs, bytes := alloctest.Cost(func() {
		var b Builder
		for _, part := range parts {
			if err := b.Append(part); err != nil {
				t.Fatal(err)
			}
		}
		b.Set()
	})
	if allocs/n > 0.1 || bytes/n > 40 {
		t.Errorf("decoding allocates %.3f times, %.0f bytes for each name", allocs/n, bytes/n)
	}
}
