package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/fleet"
	"scout/internal/jetstream/natstest"
	"scout/internal/listing"
	"scout/internal/master"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

const (
	moveNames    = 1000
	moveDeadline = 3 * time.Second
)

// BenchmarkMove measures how long it takes until the scouts of one of three
// scoutmasters, which ends without a word, are registered at the others, while each
// changes a file each second. SCOUTS is how many scouts there are.
func BenchmarkMove(b *testing.B) {
	scouts := 300
	if n, err := strconv.Atoi(os.Getenv("SCOUTS")); err == nil {
		scouts = n
	}
	for b.Loop() {
		move(b, scouts)
	}
}

func move(b *testing.B, scouts int) {
	nats := natstest.Start(b, 1)
	var masters []*movingMaster
	var addresses []string
	for i := range 3 {
		m := startMovingMaster(b, nats, fmt.Sprint("master-", i))
		masters, addresses = append(masters, m), append(addresses, m.address)
	}
	ctx, cancel := context.WithCancel(context.Background())
	all := make([]*movingScout, scouts)
	done := make(chan error, scouts)
	for i := range all {
		all[i] = newMovingScout(i)
		go func() { done <- all[i].run(ctx, addresses) }()
		time.Sleep(5 * time.Millisecond)
	}
	whole := func(masters []*movingMaster) bool {
		for _, m := range masters {
			if m.list.Current().Len != scouts*moveNames {
				return false
			}
		}
		return true
	}
	await(b, "all are listed", func() bool { return len(done) > 0 || whole(masters) })
	if len(done) > 0 {
		b.Fatalf("a scout was not let in: %v", <-done)
	}
	time.Sleep(12 * time.Second) // the sessions have proven themselves
	moving := masters[0].scouts()
	registered := func() (n int64) {
		for _, s := range all {
			n += s.registered.Load()
		}
		return n
	}
	before := registered()
	ended, stop := context.WithCancel(context.Background())
	stop()
	began := time.Now()
	_ = masters[0].registry.Stop(ended) // it cannot say so: its sessions end, and it is silent
	masters[0].end()
	shortest := scouts * moveNames
	await(b, "all are elsewhere", func() bool {
		for _, m := range masters[1:] {
			shortest = min(shortest, m.list.Current().Len)
		}
		return registered() == before+int64(moving)
	})
	took := time.Since(began)
	for end := time.Now().Add(3 * moveDeadline); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for _, m := range masters[1:] {
			shortest = min(shortest, m.list.Current().Len)
		}
	}
	again := int64(0)
	for _, s := range all {
		s.stop()
	}
	time.Sleep(time.Second)
	for _, s := range all {
		again += s.sent.Load() - moveNames - s.changes.Load()
	}
	cancel()
	for range all {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	for _, m := range masters[1:] {
		m.end()
	}
	if shortest < scouts*moveNames {
		b.Errorf("a list had %d of %d names", shortest, scouts*moveNames)
	}
	b.ReportMetric(float64(moving), "scouts")
	b.ReportMetric(took.Seconds(), "s")
	b.ReportMetric(100*float64(again)/float64(moving*moveNames), "%-sent-again")
}

func await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("in vain: %s", what)
		}
	}
}

// movingMaster is a scoutmaster that takes scouts.
type movingMaster struct {
	registry *master.Registry
	list     *listing.Listing
	address  string
	end      func()
}

// scouts counts the scouts that have come to the scoutmaster.
func (m *movingMaster) scouts() (n int) {
	for _, s := range m.registry.Roster().Scouts {
		if !s.Heard.IsZero() {
			n++
		}
	}
	return n
}

func startMovingMaster(b *testing.B, nats []*natstest.Server, name string) *movingMaster {
	conn := connect(b, nats, "moving")
	f := fleet.New(conn)
	m := &movingMaster{list: listing.New()}
	m.registry = master.Share(m.list, master.Sharing{
		Sequence: f, Peers: f, Name: name, Address: f.Address(),
		Heartbeat: time.Second, Deadline: moveDeadline, CutOff: 15 * time.Second,
	}, zap.NewNop())
	listener, err := (&net.ListenConfig{}).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	m.address = listener.Addr().String()
	sessions := stream.NewServer(m.registry, stream.Config{Heartbeat: time.Second, Deadline: moveDeadline, Log: zap.NewNop()})
	server := grpc.NewServer(stream.ServerOptions()...)
	scoutv1.RegisterScoutmasterServiceServer(server, sessions)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	for _, run := range []func(context.Context) error{
		m.registry.Run, sessions.Run, m.list.Run,
		func(ctx context.Context) error { return f.Serve(ctx, m.registry) },
		func(context.Context) error { return server.Serve(listener) },
	} {
		running.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
				b.Error(err)
			}
		})
	}
	m.end = func() {
		cancel()
		server.Stop()
		running.Wait()
		conn.Close()
	}
	await(b, "it is ready", func() bool { return m.registry.Ready() == nil })
	return m
}

// movingScout is a scout with a directory in which files are renamed.
type movingScout struct {
	number        int
	changed       chan time.Time
	registered    atomic.Int64
	sent, changes atomic.Int64 // names

	mu      sync.Mutex
	set     *files.Set
	renamed string
	stopped bool
}

func newMovingScout(number int) *movingScout {
	s := &movingScout{number: number, changed: make(chan time.Time, 1)}
	var names []string
	for i := range moveNames {
		names = append(names, fmt.Sprintf("%03d/%06d", i, number))
	}
	s.set, s.renamed = filestest.Set(names...), names[0]
	return s
}

func (s *movingScout) View() files.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return files.View{Set: s.set}
}

func (s *movingScout) Changed() <-chan time.Time { return s.changed }
func (s *movingScout) Rescan() <-chan struct{}   { return rescanned }

func (s *movingScout) rename(round int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return
	}
	next := fmt.Sprintf("999/x-%d", round)
	set, err := s.set.Apply(files.Delta{Removed: filestest.Set(s.renamed), Added: filestest.Set(next)})
	if err != nil {
		panic(err)
	}
	s.set, s.renamed = set, next
	s.changes.Add(2)
	select {
	case s.changed <- time.Now():
	default:
	}
}

// stop changes nothing any more.
func (s *movingScout) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
}

func (s *movingScout) run(ctx context.Context, addresses []string) error {
	var renaming sync.WaitGroup
	defer renaming.Wait()
	renaming.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for round := 0; ; round++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				s.rename(round)
			}
		}
	})
	host := fmt.Sprint("host-", s.number)
	scout := &stream.Scout{
		Origin: files.Origin{Host: host, Directory: "/srv"}, Directory: s,
		Dialer: &dial.Dialer{Masters: addresses, Spread: host}, Log: zap.NewNop(), Recorder: s,
		Credentials: func() ([]grpc.DialOption, error) {
			return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil
		},
	}
	return scout.Run(ctx)
}

func (s *movingScout) Registered()                                { s.registered.Add(1) }
func (*movingScout) MasterLost()                                  {}
func (s *movingScout) SnapshotSent(names, _ int, _ time.Duration) { s.sent.Add(int64(names)) }
func (*movingScout) ResyncRequested()                             {}
func (s *movingScout) ChangeSent(added, removed, _ int, _ time.Duration) {
	s.sent.Add(int64(added + removed))
}
