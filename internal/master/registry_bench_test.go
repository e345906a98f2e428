package master

import (
	"fmt"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
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

// BenchmarkTransfer gives the state of 1,000 scouts with 1,000 names each to another
// State, in messages as they travel.
func BenchmarkTransfer(b *testing.B) {
	const scouts, names = 1000, 1000
	from := NewState(listing.New(), nil)
	apply := func(number, serial uint64, body Body) {
		e := &Entry{Epoch: from.epoch, Session: SessionID{1, number}, Serial: serial, Body: body}
		if err := from.Apply(from.Position()+1, e); err != nil {
			b.Fatal(err)
		}
	}
	apply(0, 1, &Tick{})
	for i := range uint64(scouts) {
		set := filestest.Names(int(i), names, filestest.Interleaved)
		apply(i+1, 1, &Joined{Origin: files.Origin{Host: fmt.Sprint("host-", i), Directory: "/srv"}})
		apply(i+1, 2, &Update{Reset: true, Delta: files.Delta{Added: set}, Shown: Shown{uint64(set.Len()), set.Digest()}})
	}
	if err := from.list.Merge(); err != nil {
		b.Fatal(err)
	}
	for form := range uint32(FormRead) {
		b.Run(fmt.Sprint("form=", form+1), func(b *testing.B) { benchmarkTransfer(b, from, form+1) })
	}
}

func benchmarkTransfer(b *testing.B, from *State, form uint32) {
	var sent int
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		sent = 0
		to := newcomer(listing.New(), nil)
		if err := to.Restore(0, func(yield func(*scoutv1.StatePart, error) bool) {
			for p := range from.Parts(512<<10, form) {
				message, err := proto.Marshal(p)
				sent += len(message)
				var got scoutv1.StatePart
				if err == nil {
					err = proto.Unmarshal(message, &got)
				}
				if !yield(&got, err) {
					return
				}
			}
		}); err != nil {
			b.Fatal(err)
		}
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	names := float64(b.N * from.list.Current().Len)
	used := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(used)/names, "cpu-ns/name")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/names, "ns/name")
	b.ReportMetric(float64(sent)*float64(b.N)/names, "B/name")
}
