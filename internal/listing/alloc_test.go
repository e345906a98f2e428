package listing_test

import (
	"testing"

	"scout/internal/alloctest"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

func TestCostOfOneChange(t *testing.T) {
	l, sources := listingtest.Fleet(t, 10, 1_000_000, filestest.Same)
	add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("team/d00300/new")}
	remove := files.Delta{Removed: add.Added, Added: add.Removed}
	allocs, bytes := alloctest.Cost(func() {
		for _, d := range []files.Delta{add, remove} {
			if _, err := l.Change(sources[0], d); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs > 2*100 || bytes > 2*128<<10 {
		t.Errorf("two changes among a million entries allocate %.0f times, %.0f bytes", allocs, bytes)
	}
}
