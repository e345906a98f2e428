//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
	scoutv1 "scout/proto/scout/v1"
)

var fleetRows = []row{
	{
		name: "scoutmaster of idle scouts", reference: "bare gRPC streams doing the same", at: point{10_000, 10_000}, small: point{100, 100},
		growth: []growth{{overScouts, []point{{10, 10}, {100, 100}, {1000, 1000}, {10_000, 10_000}}}}, run: idleFleet,
		how: "Each scout has one file, and scout and scoutmaster beat once a second. The reference is a gRPC server, too in a process of its own, " +
			"with a connection and a stream for each client on which both send such a message a second.",
	},
	{
		name: "scouts of 10,000 files, scoutmaster restarts → all listed", at: point{10_000_000, 1000}, small: point{10_000, 10},
		growth: []growth{{overScouts, []point{{100_000, 10}, {1_000_000, 100}, {10_000_000, 1000}}}}, run: restart,
		how: "The scoutmaster is killed and started again at once. From its start to its list having the files of all scouts, " +
			"whose names interleave at random. Steady is the memory when all is merged, some time later.",
	},
}

// serverLoad is the cost of an idle fleet to a server.
type serverLoad struct {
	cpu    float64 // of one core
	memory float64 // bytes
}

func idleFleet(ctx context.Context, l *lab, p point) (res result, err error) {
	l.dropStage() // its load would count
	ours, err := l.idleScouts(ctx, p)
	if err != nil {
		return res, err
	}
	theirs, err := l.idleStreams(ctx, p.scouts)
	if err != nil {
		return res, err
	}
	res.add(
		figure{name: "processor time", unit: ofOneCore, value: ours.cpu, reference: theirs.cpu, bound: atMostTimes(1.3)},
		figure{name: "memory", unit: byteCount, value: ours.memory, reference: theirs.memory, bound: atMostTimes(1.3)},
	)
	return res, nil
}

func (l *lab) idleScouts(ctx context.Context, p point) (serverLoad, error) {
	s, err := l.newStage(ctx, p, interleaved)
	if err != nil {
		return serverLoad{}, err
	}
	defer s.close()
	return l.loadOf(ctx, s.master.Process)
}

func (l *lab) idleStreams(ctx context.Context, n int) (serverLoad, error) {
	p, err := l.peerProcess(ctx, "streams")
	if err != nil {
		return serverLoad{}, err
	}
	e, err := p.AwaitMsg(time.Minute, 0, "serving")
	if err != nil {
		return serverLoad{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- bareClients(ctx, e.Text("grpc"), n, ready) }()
	defer cancel()
	select {
	case <-ready:
	case err := <-done:
		return serverLoad{}, err
	}
	load, err := l.loadOf(ctx, p)
	cancel()
	return load, errors.Join(err, <-done)
}

// loadOf measures a server that has come to rest.
func (l *lab) loadOf(ctx context.Context, p *testfleet.Process) (serverLoad, error) {
	testfleet.Sleep(ctx, l.lasting(15*time.Second, time.Second))
	cpu, err := p.CPUOver(ctx, l.lasting(20*time.Second, 3*time.Second))
	if err != nil {
		return serverLoad{}, err
	}
	memory, err := p.Resident()
	return serverLoad{cpu, float64(memory)}, err
}

// restart measures the return of a fleet.
func restart(ctx context.Context, l *lab, p point) (res result, err error) {
	s, err := l.staged(ctx, p, interleaved)
	if err != nil {
		return res, err
	}
	defer l.dropStage()
	took, err := s.restart(ctx, l)
	if err != nil {
		return res, err
	}
	if err := errors.Join(s.master.Rest(ctx, time.Minute), s.complete(ctx)); err != nil {
		return res, err
	}
	testfleet.Sleep(ctx, l.lasting(10*time.Second, 0))
	peak, err := s.master.Peak()
	if err != nil {
		return res, err
	}
	steady, err := s.master.Resident()
	res.add(
		figure{name: "time", unit: seconds, value: took.Seconds(), bound: atMost(15)},
		figure{name: "peak memory, against steady", unit: byteCount, value: float64(peak), reference: float64(steady), bound: atMostTimes(2)},
	)
	return res, err
}

// restart kills the master, starts another one in its place, and returns how long the
// list took from then on to be complete.
func (s *stage) restart(ctx context.Context, l *lab) (time.Duration, error) {
	s.master.Kill()
	began := time.Now()
	m, err := l.programs.StartMaster("-grpc", s.master.GRPC, "-http", s.master.HTTP)
	if err != nil {
		return 0, err
	}
	context.AfterFunc(ctx, m.Kill)
	s.master = m
	at, err := s.listed()
	return at.Sub(began), err
}

// complete checks that the list has all files.
func (s *stage) complete(ctx context.Context) error {
	want := 0
	for _, source := range s.sources {
		want += source.View().Set.Len()
	}
	got, err := countFiles(ctx, s.master.HTTP)
	if err == nil && got != want {
		err = fmt.Errorf("the list has %d files, want %d", got, want)
	}
	return err
}

// beat is how often each side of a bare stream sends a message.
const beat = time.Second

// bareServer only sends heartbeats, the least that a session can do.
type bareServer struct {
	scoutv1.UnimplementedScoutmasterServiceServer
}

// serveStreams runs the process with a gRPC server that only keeps streams.
func serveStreams([]string) error {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	scoutv1.RegisterScoutmasterServiceServer(server, bareServer{})
	say("serving", listener.Addr().String())
	return server.Serve(listener)
}

func (bareServer) Session(stream scoutv1.ScoutmasterService_SessionServer) error {
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	message := &scoutv1.SessionResponse{Message: &scoutv1.SessionResponse_Beat{Beat: &scoutv1.MasterBeat{}}}
	return beats(stream.Context(), func() error { return stream.Send(message) })
}

// beats calls send at each beat, until ctx is done.
func beats(ctx context.Context, send func() error) error {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := send(); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// bareClients keeps a number of streams to a bare server, each on a connection of its
// own, until ctx is done. It closes ready when all are open.
func bareClients(ctx context.Context, addr string, n int, ready chan<- struct{}) error {
	group, ctx := errgroup.WithContext(ctx)
	for range n {
		stream, err := bareStream(ctx, addr)
		if err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error { return drain(ctx, stream) })
		message := &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: &scoutv1.Beat{Revision: 1, Count: 1, Digest: 1}}}
		group.Go(func() error { return beats(ctx, func() error { return stream.Send(message) }) })
	}
	close(ready)
	return group.Wait()
}

// drain receives the messages of a stream until ctx is done.
func drain(ctx context.Context, stream scoutv1.ScoutmasterService_SessionClient) error {
	for ctx.Err() == nil {
		if _, err := stream.Recv(); err != nil && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// bareStream opens a stream that ends with ctx, like its connection.
func bareStream(ctx context.Context, addr string) (scoutv1.ScoutmasterService_SessionClient, error) {
	conn, err := testfleet.Dial(addr)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.Close() }) //nolint:errcheck // nothing is expected of it any more
	return scoutv1.NewScoutmasterServiceClient(conn).Session(ctx)
}

// masterMemory measures the memory of a master that has served its list.
func masterMemory(m mix) measurement {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		s, err := l.staged(ctx, p, m)
		if err != nil {
			return res, err
		}
		plain, err := s.residentAfter(ctx, l, "")
		if err != nil {
			return res, err
		}
		packed, err := s.residentAfter(ctx, l, acceptGzip)
		if err != nil {
			return res, err
		}
		peak, err := s.master.Peak()
		if err != nil {
			return res, err
		}
		strs, err := l.stringsMemory(ctx, p.files, m)
		if err != nil {
			return res, err
		}
		each := func(bytes int64) float64 { return float64(bytes) / float64(p.files) }
		res.add(
			figure{unit: bytesPerFile, value: each(plain), reference: each(strs), bound: atMost(30)},
			figure{name: "after serving it with gzip, too", unit: bytesPerFile, value: each(packed), reference: each(strs)},
		)
		res.note("It was %s, and %s at its peak, while the scouts were registering.",
			byteCount.format(float64(plain)), byteCount.format(float64(peak)))
		return res, nil
	}
}

// residentAfter returns the memory of the master after it has served its list.
func (s *stage) residentAfter(ctx context.Context, l *lab, header string) (int64, error) {
	r := request{addr: s.master.HTTP, path: "/files", header: header}
	if _, err := race(ctx, 3, nil, r); err != nil {
		return 0, err
	}
	testfleet.Sleep(ctx, l.lasting(10*time.Second, 0))
	return s.master.Resident()
}

// stringsMemory returns the memory of a process that has the names as []string.
func (l *lab) stringsMemory(ctx context.Context, files int, m mix) (int64, error) {
	p, err := l.peerProcess(ctx, "strings", strconv.Itoa(files), m.name)
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	if _, err := p.AwaitMsg(listTime, 0, "ready"); err != nil {
		return 0, err
	}
	return p.Resident()
}

// holdStrings runs the process that has the names as []string, in as little memory as
// Go allows.
func holdStrings(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	shape := filestest.Apart
	if args[1] == interleaved.name {
		shape = filestest.Interleaved
	}
	names := make([]string, n)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range names {
		names[i] = strings.Clone(shape(i%100, i/100, r))
	}
	runtime.GC()
	debug.FreeOSMemory()
	say("ready", "")
	testfleet.Sleep(context.Background(), listTime)
	runtime.KeepAlive(names)
	return nil
}

// peerProcess starts this program as one of the peers. It ends with the task.
func (l *lab) peerProcess(ctx context.Context, peer string, args ...string) (*testfleet.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := testfleet.Start(self, append([]string{peer}, args...)...)
	if err != nil {
		return nil, err
	}
	l.endWithTask(ctx, p)
	return p, nil
}

// say logs a line like the programs.
func say(msg, addr string) { fmt.Fprintf(os.Stderr, "{\"msg\":%q,\"grpc\":%q}\n", msg, addr) }
