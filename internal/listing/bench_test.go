package listing_test

import (
	"fmt"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

func BenchmarkChange(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, sources := listingtest.Fleet(b, 10, n, filestest.Same)
			add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("team/d00005/x")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			b.ReportAllocs()
			for b.Loop() {
				for _, d := range []files.Delta{add, remove} {
					if _, err := l.Change(sources[0], d); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
