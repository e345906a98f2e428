package master

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"scout/internal/dial"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/stream"
	scoutv1 "scout/proto/scout/v1"
)

// port is where the scouts of a testMaster connect.
type port struct {
	address string
	server  *grpc.Server
	stop    func() // stops taking scouts, and tells the connected ones

	mu       sync.Mutex
	listener *bufconn.Listener // nil: nobody is there
	frozen   atomic.Bool       // what is sent on the connections is lost
}

// die ends a scoutmaster's sessions without a word.
func (m *testMaster) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life.end()
}

// open lets scouts in.
func (m *testMaster) open() *port {
	p := &port{address: fmt.Sprintf("10.0.0.%d:3000", 1+slices.Index(m.fleet.list(), m)), listener: bufconn.Listen(64 << 10)}
	sessions := stream.NewServer(m.Registry, stream.Config{Heartbeat: testHeartbeat, Deadline: testDeadline, Log: zap.NewNop()})
	p.server = grpc.NewServer(stream.ServerOptions()...)
	scoutv1.RegisterScoutmasterServiceServer(p.server, sessions)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	listener := p.listener
	running.Go(func() { _ = p.server.Serve(listener) })
	running.Go(func() { _ = sessions.Run(ctx) })
	p.stop = func() {
		p.mu.Lock()
		p.listener = nil
		p.mu.Unlock()
		cancel()
		p.server.Stop()
		running.Wait()
	}
	return p
}

func (p *port) connect(ctx context.Context) (net.Conn, error) {
	p.mu.Lock()
	listener := p.listener
	p.mu.Unlock()
	if listener == nil {
		return nil, errors.New("connection refused")
	}
	conn, err := listener.DialContext(ctx)
	return &wire{conn, &p.frozen}, err
}

// wire is a scout's connection.
type wire struct {
	net.Conn
	frozen *atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	if w.frozen.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if err != nil || !w.frozen.Load() {
			return n, err
		}
	}
}

// mover is a scout with the addresses of several scoutmasters.
type mover struct {
	host    string
	logs    *observer.ObservedLogs
	leave   context.CancelFunc
	done    chan error
	changed chan time.Time

	mu    sync.Mutex
	names []string
	set   *files.Set

	replaced        atomic.Int64 // how many files were
	snapshots, sent atomic.Int64 // how many, and names
}

func newMover(host string, names int) *mover {
	s := &mover{host: host, done: make(chan error, 1), changed: make(chan time.Time, 1)}
	for i := range names {
		s.names = append(s.names, fmt.Sprintf("%s-%05d", host, i))
	}
	s.set = filestest.Set(s.names...)
	return s
}

func (s *mover) View() files.View {
	s.mu.Lock()
	defer s.mu.Unlock()
	return files.View{Set: s.set}
}

func (s *mover) Changed() <-chan time.Time { return s.changed }

func (s *mover) Rescan() <-chan struct{} { return closedChannel }

var closedChannel = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// replace renames a file.
func (s *mover) replace(i int) {
	s.mu.Lock()
	s.names[i] += "+"
	s.replaced.Add(1)
	s.set = filestest.Set(slices.Sorted(slices.Values(s.names))...)
	s.mu.Unlock()
	select {
	case s.changed <- time.Now():
	default:
	}
}

// mover counts what it sends.
func (*mover) Registered() {}
func (*mover) MasterLost() {}
func (s *mover) SnapshotSent(names, _ int, _ time.Duration) {
	s.snapshots.Add(1)
	s.sent.Add(int64(names))
}

func (s *mover) ChangeSent(added, removed, _ int, _ time.Duration) {
	s.sent.Add(int64(added + removed))
}
func (*mover) ResyncRequested() {}
func (s *mover) plaintext() ([]grpc.DialOption, error) {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil
}

// run runs the scout with these addresses.
func (s *mover) run(ports []*port) {
	core, logs := observer.New(zap.DebugLevel)
	s.logs = logs
	byAddress := make(map[string]*port)
	d := &dial.Dialer{Spread: s.host}
	for _, p := range ports {
		byAddress[p.address] = p
		d.Masters = append(d.Masters, p.address)
	}
	d.Connect = func(ctx context.Context, _, address string) (net.Conn, error) { return byAddress[address].connect(ctx) }
	scout := &stream.Scout{
		Origin: files.Origin{Host: s.host, Directory: "/srv"}, Version: "v1", Directory: s,
		Dialer: d, Credentials: s.plaintext, Log: zap.New(core), Recorder: s,
	}
	var ctx context.Context
	ctx, s.leave = context.WithCancel(context.Background())
	go func() { s.done <- scout.Run(ctx) }()
}

// wave is scouts that move from one of three scoutmasters to the others.
type wave struct {
	*testFleet
	ports  []*port
	scouts []*mover
}

const (
	waveScouts = 24
	waveNames  = 1000
)

func newWave(f *testFleet) *wave {
	w := &wave{testFleet: f}
	for _, m := range f.list() {
		w.ports = append(w.ports, m.open())
	}
	for i := range waveScouts {
		s := newMover(fmt.Sprintf("host-%02d", i), waveNames)
		s.run(w.ports)
		w.scouts = append(w.scouts, s)
	}
	w.await("all are listed", w.whole)
	time.Sleep(15 * time.Second) // the sessions have proven themselves
	return w
}

func (w *wave) end() {
	for _, s := range w.scouts {
		s.leave()
		if err := <-s.done; err != nil {
			w.Error(err)
		}
	}
	for _, p := range w.ports {
		p.frozen.Store(false)
		p.stop()
	}
	time.Sleep(time.Minute) // grpc gives up closing connections
}

// names returns all names of the scouts.
func (w *wave) names() (names []string) {
	for _, s := range w.scouts {
		s.mu.Lock()
		names = append(names, s.names...)
		s.mu.Unlock()
	}
	slices.Sort(names)
	return names
}

// whole reports whether all scoutmasters list all names.
func (w *wave) whole() bool {
	names := w.names()
	return w.all(func(m *testMaster) bool { return m.Ready() == nil && slices.Equal(m.names(), names) })
}

// at counts the scouts of a scoutmaster.
func (w *wave) at(m *testMaster) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.life.members)
}

// watch checks the lists of all scoutmasters that live, and changes the directories,
// until stopped.
func (w *wave) watch() (stop func()) {
	done, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for round := 0; ; round++ {
			for i, m := range w.list() {
				if m.dead.Load() || m.Ready() != nil {
					continue
				}
				if n := m.state.list.Current().Len; n != waveScouts*waveNames {
					w.Errorf("scoutmaster %d lists %d names", i, n)
					return
				}
			}
			for _, s := range w.scouts[:waveScouts/2] {
				if round%50 == 0 {
					s.replace(round % waveNames)
				}
			}
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(done); <-stopped }
}

// A scoutmaster's end is not its scouts': they go on elsewhere within the deadline
// and 3 seconds, no list is shorter meanwhile, and what they send is what has changed.
func TestScoutsMove(t *testing.T) {
	for name, tc := range map[string]struct {
		lose func(w *wave, m *testMaster, p *port)
		took time.Duration // at most
	}{
		"killed": {func(w *wave, m *testMaster, p *port) {
			m.kill()
			m.die()
			p.stop()
		}, 2 * time.Second},
		"frozen": {func(w *wave, m *testMaster, p *port) {
			p.frozen.Store(true)
			m.line.setCut(true)
		}, testDeadline + 3*time.Second},
		"stopped": {func(w *wave, m *testMaster, p *port) {
			if err := m.Stop(w.Context()); err != nil {
				w.Error(err)
			}
			p.stop()
			m.kill()
		}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, 3, func(f *testFleet) {
				w := newWave(f)
				defer w.end()
				masters := f.list()
				moving := w.at(masters[0])
				if moving < waveScouts/6 {
					t.Fatalf("%d scouts are at the first scoutmaster", moving)
				}
				stop := w.watch()
				time.Sleep(time.Second)
				began := time.Now()
				tc.lose(w, masters[0], w.ports[0])
				f.await("all are elsewhere", func() bool { return w.at(masters[1])+w.at(masters[2]) == waveScouts })
				if took := time.Since(began); took > tc.took {
					t.Errorf("it took %v", took)
				}
				time.Sleep(3 * testDeadline)
				w.ports[0].frozen.Store(false)
				if !masters[0].dead.Load() {
					masters[0].line.setCut(false)
				}
				time.Sleep(3 * testDeadline)
				stop()
				var again int64
				for _, s := range w.scouts {
					again += s.sent.Load() - waveNames - 2*s.replaced.Load()
				}
				t.Logf("%d scouts have moved, and have sent %d names again", moving, again)
				if again > int64(moving*waveNames/100) {
					t.Errorf("%d names were sent again", again)
				}
				f.await("all lists are whole", w.whole)
			})
		})
	}
}
