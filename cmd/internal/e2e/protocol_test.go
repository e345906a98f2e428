//go:build linux

package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"

	scoutv1 "scout/proto/scout/v1"
)

// A peer that breaks a rule of the protocol is told which one, and the master's
// log says so too. Nobody else notices: a scout's session and list go on.
func TestViolations(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 20)
	names := find(t, s.dir)
	c := consume(t, m)
	c.isWhole(s, names)

	named := func(name string) func(r *raw) {
		return func(r *raw) {
			r.grant()
			r.shown, r.revision = []string{name}, 1
			r.update(r.snapshot())
		}
	}
	list := func(added []byte) func(r *raw) {
		return func(r *raw) {
			r.grant()
			r.update(&scoutv1.Update{Reset_: true, Revision: 1, Added: added, Count: 2})
		}
	}
	host := func(host string) func(r *raw) { return func(r *raw) { r.hello(host, "/") } }
	directory := func(dir string) func(r *raw) { return func(r *raw) { r.hello("raw", dir) } }
	shown := func(break_ func(r *raw)) func(r *raw) {
		return func(r *raw) {
			r.register("raw", "/")
			r.show("a", "b", "c")
			break_(r)
		}
	}
	for name, test := range map[string]struct {
		do   func(r *raw)
		want string
	}{
		"a Beat first":                 {func(r *raw) { r.beat() }, "first message must be a Hello"},
		"an Offer first":               {func(r *raw) { r.offer() }, "first message must be a Hello"},
		"an Update first":              {func(r *raw) { r.update(&scoutv1.Update{}) }, "first message must be a Hello"},
		"nothing first":                {func(r *raw) { r.send(&scoutv1.SessionRequest{}) }, "first message must be a Hello"},
		"an empty host":                {host(""), "host is empty"},
		"a long host":                  {host(strings.Repeat("h", 256)), "longer than 255"},
		"a host with a newline":        {host("a\nb"), "control characters"},
		"a host with an escape":        {host("a\x1b[2Jb"), "control characters"},
		"an empty directory":           {directory(""), "not an absolute path"},
		"a relative directory":         {directory("srv"), "not an absolute path"},
		"a directory with a NUL":       {directory("/a\x00b"), "NUL"},
		"a long directory":             {directory("/" + strings.Repeat("d", 4096)), "longer than 4096"},
		"a second Hello":               {func(r *raw) { r.register("raw", "/"); r.hello("raw", "/") }, "second Hello"},
		"an update before a snapshot":  {func(r *raw) { r.register("raw", "/"); r.update(r.add("x")) }, "before a snapshot"},
		"a snapshot without a Grant":   {func(r *raw) { r.register("raw", "/"); r.revision = 1; r.update(r.snapshot()) }, "without a Grant"},
		"two snapshots for one Grant":  {shown(func(r *raw) { r.update(r.snapshot()) }), "without a Grant"},
		"a snapshot with revision 0":   {func(r *raw) { r.grant(); r.update(r.snapshot()) }, "revision 0"},
		"an update after an Offer":     {shown(func(r *raw) { r.offer(); r.update(r.add("x")) }), "between an Offer and its snapshot"},
		"a revision that jumps":        {shown(func(r *raw) { r.revision++; r.update(r.add("x")) }), "revision jumps from 1 to 3"},
		"a revision again":             {shown(func(r *raw) { r.revision--; r.update(r.add("x")) }), "revision jumps from 1 to 1"},
		"a Beat between parts":         {shown(func(r *raw) { r.part("d"); r.beat() }), "a Beat between the parts"},
		"an Offer between parts":       {shown(func(r *raw) { r.part("d"); r.offer() }), "an Offer between the parts"},
		"parts of two revisions":       {shown(func(r *raw) { r.part("d"); r.revision++; r.update(r.add("x")) }), "parts of one update differ"},
		"a snapshot with removed ones": {func(r *raw) { r.grant(); r.update(&scoutv1.Update{Reset_: true, Revision: 1, Removed: encode("a")}) }, "snapshot with removed"},
		"a removed name not there":     {shown(func(r *raw) { r.remove("x") }), `"x"`},
		"an added name that is there":  {shown(func(r *raw) { r.update(r.add("b")) }), `"b"`},
		"an empty name":                {named(""), "empty"},
		"an absolute name":             {named("/etc/passwd"), "empty part"},
		"a name with a slash behind":   {named("a/"), "empty part"},
		"a name with two slashes":      {named("a//b"), "empty part"},
		"a name with ..":               {named("a/../b"), `".."`},
		"a name that is ..":            {named(".."), `".."`},
		"a name with .":                {named("a/./b"), `"."`},
		"a name with a NUL":            {named("a\x00b"), "NUL"},
		"a name too long":              {named(strings.Repeat("n/", 2048) + "n"), "4096"},
		"names out of order":           {list(encode("b", "a")), "does not sort after"},
		"a name twice":                 {list(encode("a", "a")), "does not sort after"},
		"a list cut short":             {list(encode("a", "b")[:5]), "cut short"},
		"a first name that shares":     {list([]byte{1, 1, 'a'}), "shares"},
		"a name of all lengths":        {list([]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), "cut short"},
		"order lost between parts": {func(r *raw) {
			r.grant()
			r.update(&scoutv1.Update{Reset_: true, Revision: 1, More: true, Added: encode("b")})
			r.update(&scoutv1.Update{Reset_: true, Revision: 1, Added: encode("a"), Count: 2})
		}, "does not sort after"},
		"a message too large": {func(r *raw) {
			r.grant()
			r.update(&scoutv1.Update{Reset_: true, Revision: 1, Added: make([]byte, 5<<20)})
		}, "larger than max"},
	} {
		t.Run(name, func(t *testing.T) {
			from := len(m.Events())
			r := dialRaw(t, m)
			test.do(r)
			if end := r.ended(); end.Code() != codes.InvalidArgument && end.Code() != codes.ResourceExhausted || !strings.Contains(end.Message(), test.want) {
				t.Errorf("the call ended with %s: %s", end.Code(), end.Message())
			}
			within(t, patience, func() error {
				for _, e := range m.Events()[from:] {
					if text := e.Text("rule") + e.Text("limit") + e.Text("reason"); e.Text("level") == "warn" && strings.Contains(text, test.want) {
						return nil
					}
				}
				return fmt.Errorf("the log says nothing of %q: %s", test.want, m.Tail())
			})
			if err := m.lists("raw", "/"); err != nil {
				t.Error(err)
			}
		})
	}
	write(t, s.dir, "still followed")
	converges(t, m, s)
	never(t, s.Process, 0, "master lost", "resync requested")
}

// grant registers and is granted a snapshot.
func (r *raw) grant() {
	r.t.Helper()
	r.register("raw", "/")
	r.offer()
	r.receive("Grant")
}

// part begins the next update and does not finish it.
func (r *raw) part(name string) {
	u := r.add(name)
	u.More = true
	r.update(u)
}

// remove sends the next update, without a name that may not even be there.
func (r *raw) remove(name string) {
	r.revision++
	r.update(&scoutv1.Update{
		Revision: r.revision, Removed: encode(name), Count: uint64(len(r.shown)) - 1, Digest: digest(r.shown) - digest([]string{name}),
	})
}

// Data that is not a message ends its call or its connection, and no other.
func TestGarbage(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 20)
	names := find(t, s.dir)
	consume(t, m).isWhole(s, names)

	for _, garbage := range []string{"", "\xff\xff\xff", "\x0a\x7f", "\x0a\x05\x0a\x03\xff\xfe\xfd", strings.Repeat("\x07", 1000)} {
		r := dialRaw(t, m, grpc.ForceCodecV2(bytesCodec(garbage)))
		r.send(nil)
		// grpc itself ends a call with Internal when it cannot decode a message.
		if end := r.ended(); end.Code() != codes.InvalidArgument && end.Code() != codes.Internal {
			t.Errorf("%.20q: the call ended with %s: %s", garbage, end.Code(), end.Message())
		}
	}
	for _, greeting := range []string{
		"", "\n", "GET /files HTTP/1.1\r\nHost: localhost\r\n\r\n", "\x16\x03\x01\x02\x00\x01", strings.Repeat("\x00", 1<<16),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + strings.Repeat("\xff", 100),
	} {
		for _, address := range []string{m.GRPC, m.HTTP} {
			conn, err := net.Dial("tcp", address)
			must(t, err)
			conn.SetDeadline(time.Now().Add(patience))
			_, err = conn.Write([]byte(greeting))
			if greeting == "" {
				err = conn.(*net.TCPConn).SetLinger(0)
			}
			if err != nil && !errors.Is(err, net.ErrClosed) {
				t.Logf("%.20q: %v", greeting, err) // it has hung up already
			}
			conn.Close()
		}
	}
	write(t, s.dir, "still followed")
	converges(t, m, s)
	never(t, m.Process, 0, "scout dropped")
}

// bytesCodec sends its bytes in the place of every message.
type bytesCodec string

func (c bytesCodec) Marshal(any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(c)}, nil
}
func (c bytesCodec) Unmarshal(mem.BufferSlice, any) error { return nil }
func (c bytesCodec) Name() string                         { return "proto" }

var _ encoding.CodecV2 = bytesCodec("")

// A copy that differs is not a violation and is never shown: the master requests a
// snapshot and shows it.
func TestResync(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	for name, differ := range map[string]func(r *raw){
		"wrong count":            func(r *raw) { u := r.add("d"); u.Count++; r.update(u) },
		"wrong digest":           func(r *raw) { u := r.add("d"); u.Digest++; r.update(u) },
		"a Beat of another set":  func(r *raw) { r.shown = append(r.shown, "z"); r.beat() },
		"a Beat of another time": func(r *raw) { r.revision += 7; r.beat() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := dialRaw(t, m)
			r.register(name, "/")
			r.show("a", "b", "c")
			awaitList(t, m, name, "/", "a", "b", "c")
			differ(r)
			r.update(r.add("zz")) // was under way before the Resync arrived
			r.beat()
			if reason := r.receive("Resync").GetResync().GetReason(); reason == "" {
				t.Error("no reason")
			}
			awaitList(t, m, name, "/")
			r.show("new")
			awaitList(t, m, name, "/", "new")
		})
	}
}

// An update is seen when its last part has come, all at once, and never when
// the peer goes away or changes its mind in the middle.
func TestNeverHalfAnUpdate(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-deadline", "1m")
	r := dialRaw(t, m)
	r.register("raw", "/")
	r.show("a", "b")
	awaitList(t, m, "raw", "/", "a", "b")
	r.revision++
	r.update(&scoutv1.Update{Revision: r.revision, More: true, Removed: encode("a")})
	r.update(&scoutv1.Update{Revision: r.revision, More: true, Added: encode("c")})
	for range 20 {
		if err := m.lists("raw", "/", "a", "b"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.shown = []string{"b", "c", "d"}
	r.update(&scoutv1.Update{Revision: r.revision, Added: encode("d"), Count: 3, Digest: digest(r.shown)})
	awaitList(t, m, "raw", "/", "b", "c", "d")

	r.part("e")
	r.unavailable("changed its mind")
	awaitList(t, m, "raw", "/")
	if e := await(t, m.Process, "scout hidden"); e.Text("reason") != "changed its mind" || e.Text("host") != "raw" {
		t.Errorf("%v", e)
	}
	r.show("f")
	awaitList(t, m, "raw", "/", "f")
	await(t, m.Process, "scout shown")

	r.part("g")
	if err := r.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if end := r.ended(); end.Code() != codes.Unknown && end.Code() != codes.OK { // io.EOF
		t.Errorf("%v", end)
	}
	awaitList(t, m, "raw", "/")
	awaitReason(t, m.Process, "scout dropped", "deregistered")
}

// Texts of a peer cannot break the log or the list.
func TestNastyTexts(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	r := dialRaw(t, m)
	r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Hello{Hello: &scoutv1.Hello{
		Host: "\"\\\u2028<b>\U0001f600", Directory: []byte("/\xff\n\""), Version: "v\n\x1b[2J" + strings.Repeat("long", 1000),
	}}})
	r.receive("Welcome")
	r.unavailable("line\nanother\x1b" + strings.Repeat("long", 1000))
	e := await(t, m.Process, "scout hidden")
	if strings.ContainsAny(e.Text("reason"), "\n\x1b") || len(e.Text("reason")) > 1000 {
		t.Errorf("%v", e)
	}
	r.show("\xff\"")
	awaitList(t, m, "\"\\\u2028<b>\U0001f600", "/\xff\n\"", "\xff\"")
}

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
	return call(t, dialGRPC(t, m), options...)
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

func (r *raw) update(u *scoutv1.Update) { r.send(asUpdate(u)) }

func asUpdate(u *scoutv1.Update) *scoutv1.SessionRequest {
	return &scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Update{Update: u}}
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
	msg, err := r.hear(kind)
	if err != nil {
		r.t.Fatalf("waiting for %s: %v", kind, err)
	}
	return msg
}

// hear is receive of a call that may end, which is then the error.
func (r *raw) hear(kind string) (*scoutv1.SessionResponse, error) {
	for {
		msg, err := r.stream.Recv()
		if err != nil || kindOf(msg) == kind {
			return msg, err
		}
	}
}

// kindOf is the kind of a message, such as Welcome.
func kindOf(msg *scoutv1.SessionResponse) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", msg.GetMessage()), "*scoutv1.SessionResponse_")
}

// ended waits for the end of the call and returns its status.
func (r *raw) ended() *status.Status {
	r.t.Helper()
	_, err := r.hear("nothing")
	return status.Convert(err)
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
