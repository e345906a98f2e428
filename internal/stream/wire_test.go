package stream

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"scout/internal/dial"
	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

const (
	heartbeat = time.Second
	deadline  = 3 * time.Second
)

var web01 = files.Origin{Host: "web-01", Directory: "/srv/data"}

// network is the wire between scouts and the place where a master may be.
type network struct {
	up, down *valve // what scouts send, what they hear

	mu       sync.Mutex
	listener *bufconn.Listener // nil: nobody is there
	dialed   int
}

func newNetwork(t *testing.T) *network {
	n := &network{up: newValve(), down: newValve()}
	t.Cleanup(func() {
		n.up.open()
		n.down.open()
		time.Sleep(time.Minute) // grpc gives up closing what was stuck
	})
	return n
}

// listen puts a listener where scouts look for a master.
func (n *network) listen() *bufconn.Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = bufconn.Listen(64 << 10)
	return n.listener
}

func (n *network) unlisten() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.listener = nil
}

// dialer is what a scout finds its master with.
func (n *network) dialer() *dial.Dialer {
	return &dial.Dialer{Masters: []string{"master:3000"}, Lookup: lookup, Connect: n.connect}
}

// lookup is a name server that knows one address.
func lookup(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
}

// plaintext is the credentials of a scout without any.
func plaintext() ([]grpc.DialOption, error) {
	return []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, nil
}

func (n *network) connect(ctx context.Context, _, _ string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed++
	listener := n.listener
	n.mu.Unlock()
	if listener == nil {
		return nil, errors.New("connect: connection refused")
	}
	conn, err := listener.DialContext(ctx)
	if err != nil {
		return nil, err
	}
	return &wire{conn, n}, nil
}

func (n *network) attempts() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dialed
}

// dial is a connection like a scout's.
func (n *network) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///master", append(DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return n.connect(ctx, "", "") }))...)
}

// wire is a scout's connection, with a valve each way.
type wire struct {
	net.Conn
	network *network
}

func (w *wire) Write(b []byte) (int, error) {
	if !w.network.up.pass(len(b)) {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

func (w *wire) Read(b []byte) (int, error) {
	for {
		n, err := w.Conn.Read(b)
		if err != nil || w.network.down.pass(n) {
			return n, err
		}
	}
}

// valve is what a network does to bytes: lets them pass, swallows them, holds
// them, or lets them through slowly.
type valve struct {
	mu      sync.Mutex
	moved   sync.Cond
	swallow bool
	held    bool
	rate    int // bytes a second; 0: any
	bytes   int // so far
}

func (v *valve) passed() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.bytes
}

func newValve() *valve {
	v := &valve{}
	v.moved.L = &v.mu
	return v
}

func (v *valve) set(change func(*valve)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	change(v)
	v.moved.Broadcast()
}

func (v *valve) lose()           { v.set(func(v *valve) { v.swallow = true }) }
func (v *valve) hold()           { v.set(func(v *valve) { v.held = true }) }
func (v *valve) open()           { v.set(func(v *valve) { v.swallow, v.held, v.rate = false, false, 0 }) }
func (v *valve) limit(bytes int) { v.set(func(v *valve) { v.rate = bytes }) }

// pass is false when n bytes are lost.
func (v *valve) pass(n int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bytes += n
	for v.held {
		v.moved.Wait()
	}
	for n > 0 && v.rate > 0 {
		n -= max(1, v.rate/100)
		v.mu.Unlock()
		time.Sleep(time.Second / 100)
		v.mu.Lock()
	}
	return !v.swallow
}

// logs is a logger and what it was told.
type logs struct {
	*zap.Logger
	seen *observer.ObservedLogs
}

func newLogs() logs {
	core, seen := observer.New(zapcore.DebugLevel)
	return logs{zap.New(core), seen}
}

func (l logs) count(msg string) int { return l.seen.FilterMessage(msg).Len() }

// field is what the last entry with msg says under key.
func (l logs) field(t *testing.T, msg, key string) any {
	t.Helper()
	entries := l.seen.FilterMessage(msg).All()
	if len(entries) == 0 {
		t.Fatalf("nothing logged as %q, but %v", msg, l.seen.All())
	}
	value, ok := entries[len(entries)-1].ContextMap()[key]
	if !ok {
		t.Fatalf("%q was logged without %q", msg, key)
	}
	return value
}

// master is a scoutmaster as far as this package goes, on a network.
type master struct {
	*Server
	registry *registry
	logs     logs
	stop     func() // as a master does that is told to stop; returns when it has
	kill     func() // as a master does that dies
}

func startMaster(t *testing.T, n *network, configure ...func(*Config)) *master {
	t.Helper()
	config := Config{Heartbeat: heartbeat, Deadline: deadline}
	m := &master{registry: &registry{}, logs: newLogs()}
	config.Log = m.logs.Logger
	for _, f := range configure {
		f(&config)
	}
	m.Server = NewServer(m.registry, config)
	server := grpc.NewServer(ServerOptions()...)
	scoutv1.RegisterScoutmasterServiceServer(server, m.Server)
	listener := n.listen()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	running.Go(func() { _ = m.Run(ctx) })
	m.stop = func() {
		n.unlisten()
		cancel()
		server.GracefulStop()
		running.Wait()
	}
	m.kill = func() {
		n.unlisten()
		server.Stop()
		cancel()
		running.Wait()
	}
	t.Cleanup(m.kill)
	return m
}

// scripted is a master that does what the test says.
type scripted struct {
	scoutv1.UnimplementedScoutmasterServiceServer
	session func(scoutv1.ScoutmasterService_SessionServer) error
}

func (s *scripted) Session(stream scoutv1.ScoutmasterService_SessionServer) error {
	return s.session(stream)
}

func startScripted(t *testing.T, n *network, session func(scoutv1.ScoutmasterService_SessionServer) error) {
	t.Helper()
	server := grpc.NewServer(ServerOptions()...)
	scoutv1.RegisterScoutmasterServiceServer(server, &scripted{session: session})
	serve(t, n, server)
}

func serve(t *testing.T, n *network, server *grpc.Server) {
	t.Helper()
	listener := n.listen()
	var running sync.WaitGroup
	running.Go(func() { _ = server.Serve(listener) })
	t.Cleanup(func() {
		server.Stop()
		running.Wait()
	})
}

// client is a running scout.
type client struct {
	directory *fakeDirectory
	logs      logs
	clock     *awakeClock
	leave     func() error // stops it and returns what Run did
	done      chan struct{}
	err       error
}

func startScout(t *testing.T, n *network, dir *fakeDirectory, configure ...func(*Scout)) *client {
	t.Helper()
	c := &client{directory: dir, logs: newLogs(), clock: newAwakeClock(scoutTick), done: make(chan struct{})}
	scout := &Scout{Origin: web01, Version: "v1", Directory: dir, Dialer: n.dialer(), Credentials: plaintext, Log: c.logs.Logger}
	for _, f := range configure {
		f(scout)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(c.done)
		c.err = scout.run(ctx, c.clock)
	}()
	c.leave = func() error {
		cancel()
		<-c.done
		return c.err
	}
	t.Cleanup(func() { _ = c.leave() })
	return c
}

// raw is a session whose scout is the test itself.
type raw struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stream scoutv1.ScoutmasterService_SessionClient
	cancel context.CancelFunc
}

func openRaw(t *testing.T, n *network) *raw {
	t.Helper()
	conn, err := n.dial()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := scoutv1.NewScoutmasterServiceClient(conn).Session(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = conn.Close()
	})
	return &raw{t, conn, stream, cancel}
}

func (r *raw) say(msgs ...*scoutv1.SessionRequest) {
	r.t.Helper()
	for _, msg := range msgs {
		// The error is Recv's to tell.
		_ = r.stream.Send(msg)
	}
}

// hear returns the next message that is not a beat, or the end.
func (r *raw) hear() (*scoutv1.SessionResponse, error) {
	for {
		msg, err := r.stream.Recv()
		if err != nil || msg.GetBeat() == nil {
			return msg, err
		}
	}
}

// expect hears a message and fails unless it is as wanted.
func (r *raw) expect(what string, wanted func(*scoutv1.SessionResponse) bool) {
	r.t.Helper()
	msg, err := r.hear()
	if err != nil || !wanted(msg) {
		r.t.Fatalf("heard %v, %v instead of a %s", msg, err, what)
	}
}

// end hears until the call ends.
func (r *raw) end() error {
	for {
		if _, err := r.hear(); err != nil {
			return err
		}
	}
}

// welcomed is a raw session past its Welcome.
func welcomed(t *testing.T, n *network) *raw {
	t.Helper()
	r := openRaw(t, n)
	r.say(sayHello(web01))
	r.expect("Welcome", isWelcome)
	return r
}

// synced is a raw session with a snapshot of these names.
func synced(t *testing.T, n *network, names ...string) *raw {
	t.Helper()
	r := welcomed(t, n)
	r.say(sayOffer())
	r.expect("Grant", isGrant)
	r.say(saySnapshot(1, setOf(names...))...)
	synctest.Wait()
	return r
}

func isWelcome(m *scoutv1.SessionResponse) bool { return m.GetWelcome() != nil }
func isGrant(m *scoutv1.SessionResponse) bool   { return m.GetGrant() != nil }
func isResync(m *scoutv1.SessionResponse) bool  { return m.GetResync() != nil }
func isProbe(m *scoutv1.SessionResponse) bool   { return m.GetProbe() != nil }

func isLook(ticket uint64) func(*scoutv1.SessionResponse) bool {
	return func(m *scoutv1.SessionResponse) bool { return m.GetLook().GetTicket() == ticket }
}

func sayLooked(ticket uint64) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Looked{Looked: &scoutv1.Looked{Ticket: ticket}}}
}

func sayHello(o files.Origin) *scoutv1.SessionRequest {
	return hello(&Scout{Origin: o, Version: "v1"}, new(sentStates))
}

func sayOffer() *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{Offer: &scoutv1.Offer{}}}
}

func sayUnavailable(reason string) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Unavailable{Unavailable: &scoutv1.Unavailable{Reason: reason}}}
}

func sayUpdate(u *scoutv1.Update) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Update{Update: u}}
}

func sayParts(u update) []*scoutv1.SessionRequest {
	var msgs []*scoutv1.SessionRequest
	for part := range u.parts() {
		msgs = append(msgs, sayUpdate(part))
	}
	return msgs
}

func saySnapshot(revision uint64, set *files.Set) []*scoutv1.SessionRequest {
	return sayParts(update{reset: true, revision: revision, delta: files.Delta{Removed: setOf(), Added: set}, set: set})
}

func sayChange(revision uint64, from, to *files.Set) []*scoutv1.SessionRequest {
	return sayParts(update{revision: revision, delta: files.Diff(from, to), set: to})
}

func sayBeat(revision uint64, set *files.Set) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: &scoutv1.Beat{
		Revision: revision, Count: uint64(set.Len()), Digest: set.Digest(),
	}}}
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
