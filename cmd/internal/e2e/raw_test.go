//go:build linux

package e2e

import (
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	scoutv1 "scout/proto/scout/v1"
)

// raw is a peer that speaks the protocol, as well or as badly as a test wants,
// written from scout.proto alone.
type raw struct {
	t      *testing.T
	conn   *grpc.ClientConn
	stream scoutv1.ScoutmasterService_SessionClient
	leave  context.CancelFunc

	shown    []string
	revision uint64
}

// dialRaw opens a call to a master. It ends with the test.
func dialRaw(t *testing.T, m *master, options ...grpc.CallOption) *raw {
	t.Helper()
	r, err := tryRaw(t, m, options...)
	must(t, err)
	return r
}

// tryRaw is dialRaw of a master that may not take the connection.
func tryRaw(t *testing.T, m *master, options ...grpc.CallOption) (*raw, error) {
	t.Helper()
	conn, err := grpc.NewClient(m.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return call(t, conn, options...)
}

// call opens a call over a connection.
func call(t *testing.T, conn *grpc.ClientConn, options ...grpc.CallOption) (*raw, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	stream, err := scoutv1.NewScoutmasterServiceClient(conn).Session(ctx, options...)
	if err != nil {
		cancel()
		return nil, err
	}
	t.Cleanup(cancel)
	return &raw{t: t, conn: conn, stream: stream, leave: cancel}, nil
}

// send sends a message. That the call has ended Recv will say.
func (r *raw) send(msg *scoutv1.SessionRequest) { _ = r.stream.Send(msg) }

func (r *raw) hello(host, dir string) {
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Hello{Hello: &scoutv1.Hello{
		Host: host, Directory: []byte(dir), Version: "raw",
	}}})
}

func (r *raw) offer() {
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{Offer: &scoutv1.Offer{}}})
}

func (r *raw) unavailable(reason string) {
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Unavailable{
		Unavailable: &scoutv1.Unavailable{Reason: reason},
	}})
}

func (r *raw) update(u *scoutv1.Update) {
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Update{Update: u}})
}

// beat says what the master's copy must be.
func (r *raw) beat() {
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Beat{Beat: &scoutv1.Beat{
		Revision: r.revision, Count: uint64(len(r.shown)), Digest: digest(r.shown),
	}}})
}

// register says Hello and is welcome.
func (r *raw) register(host, dir string) *scoutv1.Welcome {
	r.t.Helper()
	r.hello(host, dir)
	return r.receive("Welcome").GetWelcome()
}

// show makes these names all that is listed of this peer.
func (r *raw) show(names ...string) {
	r.t.Helper()
	r.offer()
	r.receive("Grant")
	r.sendAll(names)
}

// sendAll sends the snapshot that was granted.
func (r *raw) sendAll(names []string) {
	r.shown, r.revision = names, 1
	const part = 1000
	for len(names) > part {
		r.update(&scoutv1.Update{Reset_: true, Revision: 1, More: true, Added: encode(names[:part]...)})
		names = names[part:]
	}
	last := r.snapshot()
	last.Added = encode(names...)
	r.update(last)
}

// snapshot is an update with all names, if they are few.
func (r *raw) snapshot() *scoutv1.Update {
	return &scoutv1.Update{
		Reset_: true, Revision: r.revision, Added: encode(r.shown...), Count: uint64(len(r.shown)), Digest: digest(r.shown),
	}
}

// add is the next update, with a name more.
func (r *raw) add(name string) *scoutv1.Update {
	r.shown = append(slices.Clone(r.shown), name)
	r.revision++
	return &scoutv1.Update{
		Revision: r.revision, Added: encode(name), Count: uint64(len(r.shown)), Digest: digest(r.shown),
	}
}

// receive waits for a message of the kind, and skips others.
func (r *raw) receive(kind string) *scoutv1.SessionResponse {
	r.t.Helper()
	for {
		msg, err := r.stream.Recv()
		if err != nil {
			r.t.Fatalf("waiting for %s: %v", kind, err)
		}
		if kindOf(msg) == kind {
			return msg
		}
	}
}

func kindOf(msg *scoutv1.SessionResponse) string {
	switch msg.GetMessage().(type) {
	case *scoutv1.SessionResponse_Welcome:
		return "Welcome"
	case *scoutv1.SessionResponse_Grant:
		return "Grant"
	case *scoutv1.SessionResponse_Resync:
		return "Resync"
	case *scoutv1.SessionResponse_Probe:
		return "Probe"
	case *scoutv1.SessionResponse_Beat:
		return "Beat"
	}
	return "nothing known"
}

// ended waits for the end of the call and returns its status.
func (r *raw) ended() *status.Status {
	r.t.Helper()
	for {
		if _, err := r.stream.Recv(); err != nil {
			return status.Convert(err)
		}
	}
}

// live answers like a scout, until the call ends or stop is called: a beat
// each interval and to each Probe. What else the peer says it must say before.
func (r *raw) live(interval time.Duration) (stop func()) {
	probes, done, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		for {
			msg, err := r.stream.Recv()
			if err != nil {
				return
			}
			if kindOf(msg) == "Probe" {
				select {
				case probes <- struct{}{}:
				case <-done:
				}
			}
		}
	}()
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			r.beat()
			select {
			case <-done:
				return
			case <-probes:
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}

// encode is the list of names as it travels.
func encode(names ...string) (list []byte) {
	for _, name := range names {
		list = append(binary.AppendUvarint(append(list, 0), uint64(len(name))), name...)
	}
	return list
}

func digest(names []string) (sum uint64) {
	for _, name := range names {
		sum += xxhash.Sum64String(name)
	}
	return sum
}
