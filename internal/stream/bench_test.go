package stream

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// counter is a registry of one scout that only counts what it is shown.
type counter struct{ shown chan int }

func (c counter) Join(context.Context, Peer) (Member, error) { return c, nil }
func (counter) Kept() *Kept                                  { return nil }
func (c counter) Reset(set *files.Set, _ Arrival)            { c.shown <- set.Len() }
func (c counter) Apply(d files.Delta, _ Arrival) error       { c.shown <- d.Added.Len(); return nil }
func (counter) Hide(string, uint64)                          {}
func (counter) Report(Condition)                             {}
func (counter) Leave(LeaveReason)                            {}

// benchmarkSession is a source, with a scout and a master that count what
// arrives of it.
func benchmarkSession(b *testing.B) (*fakeDirectory, counter) {
	b.Helper()
	c := counter{make(chan int, 1)}
	n := &network{up: newValve(), down: newValve()}
	sessions := NewServer(c, Config{Heartbeat: time.Second, Deadline: 3 * time.Second, Log: zap.NewNop()})
	server := grpc.NewServer(ServerOptions()...)
	scoutv1.RegisterScoutmasterServiceServer(server, sessions)
	n.listener = bufconn.Listen(1 << 20)
	ctx, cancel := context.WithCancel(context.Background())
	dir := newDirectory()
	dir.cannot("scanning")
	scout := &Scout{Origin: web01, Directory: dir, Dialer: n.dialer(), Credentials: plaintext, Log: zap.NewNop()}
	done := make(chan error, 3)
	go func() { done <- server.Serve(n.listener) }()
	go func() { done <- sessions.Run(ctx) }()
	go func() { done <- scout.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		server.Stop()
		for range 3 {
			if err := <-done; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				b.Error(err)
			}
		}
	})
	return dir, c
}

// BenchmarkSnapshot is from a set that becomes known to the master showing it.
func BenchmarkSnapshot(b *testing.B) {
	for _, count := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			dir, master := benchmarkSession(b)
			set := many(count)
			view := files.View{Set: set}
			for b.Loop() {
				dir.show(view)
				if got := <-master.shown; got != count {
					b.Fatalf("%d files arrived", got)
				}
				b.StopTimer()
				dir.cannot("again")
				time.Sleep(10 * time.Millisecond)
				b.StartTimer()
			}
			b.ReportMetric(float64(count)*float64(b.N)/b.Elapsed().Seconds()/1e6, "Mnames/s")
		})
	}
}

// BenchmarkChange is from one more file to the master showing it.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			dir, master := benchmarkSession(b)
			set := many(n)
			dir.show(files.View{Set: set})
			<-master.shown
			for i := 0; b.Loop(); i++ {
				next, err := set.Apply(files.Delta{Removed: setOf(), Added: setOf(fmt.Sprintf("new-%09d", i))})
				if err != nil {
					b.Fatal(err)
				}
				set = next
				dir.show(files.View{Set: set})
				<-master.shown
			}
		})
	}
}
