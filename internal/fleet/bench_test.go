package fleet_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/fleet"
	"scout/internal/jetstream"
	"scout/internal/jetstream/natstest"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/stream"
)

// BenchmarkChange measures from a change at one scoutmaster until another lists it,
// beside the log alone: from an append until another connection has the entry.
func BenchmarkChange(b *testing.B) {
	for _, servers := range []int{1, 3} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			nats := natstest.Start(b, servers)
			b.Run("log", func(b *testing.B) { benchmarkLog(b, nats) })
			b.Run("list", func(b *testing.B) { benchmarkList(b, nats) })
		})
	}
}

func connect(b *testing.B, nats []*natstest.Server, name string) *jetstream.Conn {
	b.Helper()
	var urls []string
	for _, s := range nats {
		urls = append(urls, s.URL())
	}
	conn, err := jetstream.Open(b.Context(), jetstream.Options{URLs: urls, Fleet: name, Bytes: 64 << 20, Log: zap.NewNop()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	return conn
}

func benchmarkLog(b *testing.B, nats []*natstest.Server) {
	writer, reader := connect(b, nats, "bare"), connect(b, nats, "bare")
	bounds, err := reader.Bounds(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	delivered := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() {
		done <- reader.Follow(ctx, bounds.Made, bounds.Last+1, func([]jetstream.Entry) error {
			delivered <- struct{}{}
			return nil
		})
	}()
	measure(b, func() {
		pending, err := writer.Append(make([]byte, 66))
		if err == nil {
			_, err = pending.Wait(b.Context())
		}
		if err != nil {
			b.Fatal(err)
		}
		<-delivered
	})
	cancel()
	<-done
}

func benchmarkList(b *testing.B, nats []*natstest.Server) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 4)
	var registries []*master.Registry
	var lists []*listing.Listing
	for i := range 2 {
		f := fleet.New(connect(b, nats, "shared"))
		list := listing.New()
		r := master.Share(list, master.Sharing{
			Sequence: f, Peers: f, Name: fmt.Sprint(i), Address: f.Address(),
			Heartbeat: time.Second, Deadline: 3 * time.Second, CutOff: 15 * time.Second,
		}, zap.NewNop())
		go func() { done <- r.Run(ctx) }()
		go func() { done <- f.Serve(ctx, r) }()
		for r.Ready() != nil {
			time.Sleep(time.Millisecond)
		}
		registries, lists = append(registries, r), append(lists, list)
	}
	m, err := registries[0].Join(b.Context(), stream.Peer{
		Origin: files.Origin{Host: "host", Directory: "/srv"}, Silence: func() time.Duration { return 0 },
		Probe: func(context.Context) bool { return true }, Evict: func(string) {}, Dismiss: func(string) {},
	})
	if err != nil {
		b.Fatal(err)
	}
	m.Reset(filestest.Set("a", "z"), stream.Arrival{Revision: 1})
	add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
	remove := files.Delta{Removed: add.Added, Added: add.Removed}
	i := 0
	measure(b, func() {
		before := lists[1].Current()
		if err := m.Apply([]files.Delta{add, remove}[i%2], stream.Arrival{Revision: uint64(i) + 2}); err != nil {
			b.Fatal(err)
		}
		<-lists[1].After(before.Epoch, before.Revision)
		i++
	})
	cancel()
	for range 4 {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// measure reports the median and the 99th percentile of f.
func measure(b *testing.B, f func()) {
	var took []time.Duration
	for b.Loop() {
		began := time.Now()
		f()
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}
