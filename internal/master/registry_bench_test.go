package master

import (
	"fmt"
	"testing"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
)

// BenchmarkApply is one change of one scout, of many that change at once.
func BenchmarkApply(b *testing.B) {
	for _, scouts := range []int{2, 100} {
		b.Run(fmt.Sprint(scouts), func(b *testing.B) {
			r := NewRegistry(listing.New(), zap.NewNop())
			free := make(chan stream.Member, scouts)
			for i := range scouts {
				p := new(fakePeer).peer("s")
				p.Origin.Host = fmt.Sprint("host-", i)
				m, err := r.Join(b.Context(), p)
				if err != nil {
					b.Fatal(err)
				}
				m.Reset(filestest.Set("a", "z"), stream.Arrival{Revision: 1})
				free <- m
			}
			add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				m := <-free
				defer func() { free <- m }()
				for i := uint64(2); pb.Next(); {
					for _, d := range []files.Delta{add, remove} {
						if err := m.Apply(d, stream.Arrival{Revision: i}); err != nil {
							b.Fatal(err)
						}
						i++
					}
				}
			})
		})
	}
}
