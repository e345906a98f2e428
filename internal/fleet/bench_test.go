package fleet_test

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/fleet"
	"scout/internal/jetstream"
	"scout/internal/jetstream/natstest"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
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
		pending, err := writer.AppendAcknowledged(make([]byte, 66))
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

// BenchmarkTransfer takes the state of 1,000 scouts with 1,000 names each, in each form,
// beside a bare transfer of the same bytes. The two take turns.
func BenchmarkTransfer(b *testing.B) {
	nats := natstest.Start(b, 3)
	giver, taker := connect(b, nats, "transfer"), connect(b, nats, "transfer")
	from := manyNames(b, 1000, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- fleet.New(giver).Serve(ctx, from) }()
	bare := make([]byte, 512<<10)
	go func() {
		done <- giver.Serve(ctx, "bare", func(context.Context, []byte) ([]byte, error) { return bare, nil })
	}()
	for {
		if _, err := taker.Request(ctx, "bare", nil); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	for form := range uint32(master.FormRead) {
		from.form = form + 1
		b.Run(fmt.Sprint("form=", from.form), func(b *testing.B) {
			var took, alone []float64
			for b.Loop() {
				from.sent.Store(0)
				began := time.Now()
				if err := master.NewState(listing.New(), nil).Restore(0, fleet.New(taker).State(ctx)); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(began).Seconds())
				began = time.Now()
				for got := 0; got < int(from.sent.Load()); got += len(bare) {
					if _, err := taker.Request(ctx, "bare", nil); err != nil {
						b.Fatal(err)
					}
				}
				alone = append(alone, time.Since(began).Seconds())
			}
			slices.Sort(took)
			slices.Sort(alone)
			middle := len(took) / 2
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(1000*took[middle], "p50-ms")
			b.ReportMetric(took[middle]/alone[middle], "x-bare")
			b.ReportMetric(float64(from.sent.Load())/float64(from.list.Current().Len), "B/name")
		})
	}
	cancel()
	for range 2 {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// given is a State that other scoutmasters may take.
type given struct {
	*master.State
	list *listing.Listing
	form uint32       // the latest that it gives
	sent atomic.Int64 // bytes
}

func (*given) Ready() error                                 { return nil }
func (*given) Probe(context.Context, master.SessionID) bool { return false }

func (*given) Rescan(context.Context, master.Instance, []uint64) master.Rescanned {
	return master.Rescanned{}
}

func (g *given) Parts(limit int, form uint32) iter.Seq[*scoutv1.StatePart] {
	return func(yield func(*scoutv1.StatePart) bool) {
		for p := range g.State.Parts(limit, min(form, g.form)) {
			g.sent.Add(int64(proto.Size(p)))
			if !yield(p) {
				return
			}
		}
	}
}

// manyNames returns the state of so many scouts with as many names each, merged.
func manyNames(b testing.TB, scouts, names int) *given {
	b.Helper()
	list := listing.New()
	g := &given{State: master.NewState(list, nil), list: list}
	apply := func(number uint64, serial uint64, body master.Body) {
		e := &master.Entry{Epoch: list.Current().Epoch, Session: master.SessionID{Instance: 1, Number: number}, Serial: serial, Body: body}
		if err := g.Apply(g.Position()+1, e); err != nil {
			b.Fatal(err)
		}
	}
	apply(0, 1, new(master.Tick))
	for i := range uint64(scouts) {
		set := filestest.Names(int(i), names, filestest.Interleaved)
		shown := master.Shown{Count: uint64(set.Len()), Digest: set.Digest()}
		apply(i+1, 1, &master.Joined{Origin: files.Origin{Host: fmt.Sprint("host-", i), Directory: "/srv"}})
		apply(i+1, 2, &master.Update{Reset: true, Delta: files.Delta{Added: set}, Shown: shown})
	}
	if err := list.Merge(); err != nil {
		b.Fatal(err)
	}
	return g
}
