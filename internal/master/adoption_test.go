package master

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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

// port is where the scouts of a scoutmaster connect.
type port struct {
	address string
	server  *grpc.Server
	stop    func() // stops taking scouts, and tells the connected ones
	logs    *observer.ObservedLogs
	frozen  atomic.Bool // everything on the connections is lost

	mu       sync.Mutex
	listener *bufconn.Listener // nil: nobody is there
	wires    []*wire
}

// die ends a scoutmaster's sessions without a word.
func (m *testMaster) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life.end()
}

// open lets scouts in at an address.
func open(r *Registry, number int) *port {
	core, logs := observer.New(zap.WarnLevel)
	p := &port{address: fmt.Sprintf("10.0.0.%d:3000", number), listener: bufconn.Listen(64 << 10), logs: logs}
	sessions := stream.NewServer(r, stream.Config{Heartbeat: testHeartbeat, Deadline: testDeadline, Log: zap.New(core)})
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
		p.frozen.Store(false)
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
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: conn, port: p}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wires = append(p.wires, w)
	return w, nil
}

// lose has everything be lost from now on that goes up, or down, on the connections
// that there are.
func (p *port) lose(direction func(*wire) *atomic.Bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wires {
		direction(w).Store(true)
	}
}

func upwards(w *wire) *atomic.Bool   { return &w.up }
func downwards(w *wire) *atomic.Bool { return &w.down }

// cut breaks the connections that there are for their scouts alone, as where an address
// is translated to another one and then is not.
func (p *port) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, w := range p.wires {
		w.up.Store(true)
		w.broken.Store(true)
		_ = w.Conn.SetReadDeadline(time.Now())
	}
}

// wire is a scout's connection, on which what goes up or down may be lost.
type wire struct {
	net.Conn
	port     *port
	up, down atomic.Bool
	broken   atomic.Bool
}

func (w *wire) Write(b []byte) (int, error) {
	if w.lost(&w.up) {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if w.broken.Load() {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil || !w.lost(&w.down) {
			return n, err
		}
	}
}

// lost reports whether what goes in a direction is lost. What comes after something
// that was lost is lost too.
func (w *wire) lost(direction *atomic.Bool) bool {
	if w.port.frozen.Load() {
		direction.Store(true)
	}
	return direction.Load()
}

// Close does not reach the other end where something is lost.
func (w *wire) Close() error {
	if w.up.Load() || w.broken.Load() {
		return nil
	}
	return w.Conn.Close()
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
	for i, m := range f.list() {
		w.ports = append(w.ports, open(m.Registry, i+1))
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
		"killed": {func(_ *wave, m *testMaster, p *port) {
			m.kill()
			m.die()
			p.stop()
		}, 2 * time.Second},
		"frozen": {func(_ *wave, m *testMaster, p *port) {
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

// A scout that comes back while its session stands, because its connection has broken
// for one end only, is let in by whatever address, and goes on with what is listed.
func TestScoutsComeBack(t *testing.T) {
	for addresses := range 2 {
		t.Run(fmt.Sprint(addresses+1), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := observed()
				var ports []*port
				for i := range addresses + 1 {
					ports = append(ports, open(r, i+1))
				}
				s := newMover("host", waveNames)
				s.run(ports)
				time.Sleep(15 * time.Second)
				if r.state.list.Current().Len != waveNames {
					t.Fatal("it is not listed")
				}
				for _, p := range ports {
					p.cut()
				}
				s.replace(7)
				lost := func() bool { return s.logs.FilterMessage("master lost").Len() > 0 }
				for !lost() || s.logs.FilterMessage("registered").Len() < 2 {
					time.Sleep(time.Millisecond)
					if n := r.state.list.Current().Len; n != waveNames {
						t.Fatalf("%d names are listed", n)
					}
				}
				s.replace(8)
				time.Sleep(3 * testDeadline)
				if got := listed(r); !slices.Equal(got, sorted(s)) {
					t.Errorf("%d names are listed", len(got))
				}
				if n := s.sent.Load() - waveNames; n > 6 || s.snapshots.Load() != 1 {
					t.Errorf("%d names were sent again", n)
				}
				s.leave()
				if err := <-s.done; err != nil {
					t.Error(err)
				}
				for _, p := range ports {
					p.stop()
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func sorted(s *mover) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.names))
}

// Whatever happens to scouts, scoutmasters, the log and the network, no rule is broken,
// no copy differs, and in the end the lists are what the scouts have.
func TestScoutsMoveAtRandom(t *testing.T) {
	var adopted, snapshots int64
	for seed := range uint64(12) {
		inVirtualTime(t, 3, func(f *testFleet) {
			w := newRoughWave(f, seed)
			defer w.end()
			for range 60 {
				w.disturbance()
				time.Sleep(time.Duration(w.rand.Int64N(int64(3 * time.Second))))
			}
			w.calm()
			time.Sleep(5 * testDeadline)
			f.await("all lists are whole", w.whole)
			for i, p := range w.ports {
				for _, e := range p.logs.All() {
					if e.Message == "copy differs" || e.Message == "protocol violation" {
						t.Errorf("seed %d, scoutmaster %d: %s %v", seed, i, e.Message, e.ContextMap())
					}
				}
			}
			for _, s := range w.scouts {
				snapshots += s.snapshots.Load()
				adopted += int64(s.logs.FilterMessage("registered").Len()) - s.snapshots.Load()
			}
		})
	}
	t.Logf("%d adoptions, %d snapshots", adopted, snapshots)
	if adopted < 100 {
		t.Errorf("%d adoptions", adopted)
	}
}

// roughWave is a wave to which things happen.
type roughWave struct {
	*wave
	rand *rand.Rand
}

func newRoughWave(f *testFleet, seed uint64) *roughWave {
	w := &roughWave{&wave{testFleet: f}, rand.New(rand.NewPCG(seed, 7))}
	for i, m := range f.list() {
		w.ports = append(w.ports, open(m.Registry, i+1))
	}
	for i := range 8 {
		s := newMover(fmt.Sprintf("host-%02d", i), 20)
		s.run(w.ports)
		w.scouts = append(w.scouts, s)
	}
	w.await("all are listed", w.whole)
	if seed%3 == 0 {
		for i, m := range f.list() {
			m.line.disturb(rand.New(rand.NewPCG(seed, uint64(i))))
		}
	}
	return w
}

// disturbance is one thing that happens.
func (w *roughWave) disturbance() {
	n := w.rand.IntN(3)
	m, p, s := w.list()[n], w.ports[n], w.scouts[w.rand.IntN(len(w.scouts))]
	switch w.rand.IntN(14) {
	case 0:
		m.line.setCut(true)
		p.frozen.Store(true)
	case 1:
		m.line.setCut(true)
	case 2, 3:
		m.line.setCut(false)
		p.frozen.Store(false)
	case 4:
		p.lose([]func(*wire) *atomic.Bool{upwards, downwards}[w.rand.IntN(2)])
	case 8:
		p.cut()
	case 5:
		m.endSessions("as when it is cut off")
	case 6:
		m.line.lag.Store(w.rand.Int64N(int64(3 * time.Second)))
	case 7:
		m.line.lag.Store(0)
	default:
		for range 1 + w.rand.IntN(5) {
			s.replace(w.rand.IntN(20))
		}
	}
}

// calm ends what is disturbed.
func (w *roughWave) calm() {
	for i, m := range w.list() {
		m.line.disturb(nil)
		m.line.lag.Store(0)
		m.line.setCut(false)
		w.ports[i].frozen.Store(false)
	}
}
