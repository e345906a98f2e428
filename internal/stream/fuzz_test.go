package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

// fed is a call whose scout says what it is fed.
type fed struct {
	ctx context.Context
	up  chan []byte // messages as they travel; closed: the half-close
}

func (f *fed) Recv() (*scoutv1.SessionRequest, error) {
	select {
	case <-f.ctx.Done():
		return nil, status.FromContextError(f.ctx.Err()).Err()
	case b, ok := <-f.up:
		if !ok {
			return nil, io.EOF
		}
		msg := new(scoutv1.SessionRequest)
		if err := proto.Unmarshal(b, msg); err != nil {
			return nil, status.Errorf(codes.Internal, "grpc: error unmarshalling request: %v", err)
		}
		return msg, nil
	}
}

func (f *fed) Send(msg *scoutv1.SessionResponse) error {
	_, err := proto.Marshal(msg)
	return err
}

func (f *fed) Context() context.Context     { return f.ctx }
func (f *fed) SetHeader(metadata.MD) error  { return nil }
func (f *fed) SendHeader(metadata.MD) error { return nil }
func (f *fed) SetTrailer(metadata.MD)       {}
func (f *fed) SendMsg(any) error            { panic("nobody sends so") }
func (f *fed) RecvMsg(any) error            { panic("nobody receives so") }

// frames splits what the fuzzer made into messages: each follows its length. One
// of length 0 stands for a heartbeat's time.
func frames(data []byte) (all [][]byte) {
	for len(data) > 0 && len(all) < 200 {
		n, k := binary.Uvarint(data)
		if k <= 0 {
			return append(all, data)
		}
		data = data[k:]
		n = min(n, uint64(len(data)))
		all = append(all, data[:n])
		data = data[n:]
	}
	return all
}

// framed is the opposite.
func framed(msgs ...*scoutv1.SessionRequest) (data []byte) {
	for _, msg := range msgs {
		b, err := proto.Marshal(msg)
		if err != nil {
			panic(err)
		}
		data = append(binary.AppendUvarint(data, uint64(len(b))), b...)
	}
	return data
}

// Whatever bytes a stranger sends, its session ends with a status that the
// protocol has, and what it shows meanwhile is a set of good names that it said
// in full: as many as it counted, with the digest that it gave.
func FuzzSession(f *testing.F) {
	ab := setOf("a", "b")
	begun := append([]*scoutv1.SessionRequest{sayHello(web01), sayOffer()}, saySnapshot(1, ab)...)
	with := func(msgs ...*scoutv1.SessionRequest) []byte {
		return framed(append(slices.Clip(begun), msgs...)...)
	}
	f.Add(with(sayBeat(1, ab)))
	f.Add(with(sayChange(2, ab, setOf("a", "c/d", "e"))...))
	f.Add(with(sayOffer(), sayUnavailable("gone\xe2\x80\xa8"), sayOffer()))
	f.Add(with(change(2, coded("a"), coded("b/c")), change(3, coded("b/c"), nil), sayBeat(3, setOf("b"))))
	f.Add(with(sayUpdate(&scoutv1.Update{Revision: 2, More: true, Added: coded("c")}), sayUpdate(&scoutv1.Update{Revision: 2, Added: coded("d")})))
	f.Add(with(change(2, nil, []byte{0, 1, 'c', 1, 2, '/', 'd'}), unknown()))
	f.Add(append(with(sayBeat(9, ab), sayOffer()), 0, 0, 0, 0))
	f.Add(framed(append([]*scoutv1.SessionRequest{sayHello(web01), sayOffer()}, saySnapshot(7, many(30))...)...))
	f.Add(framed(sayBeat(0, setOf())))
	f.Add([]byte{0, 0, 0, 5, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		synctest.Test(t, func(t *testing.T) { feed(t, frames(data)) })
	})
}

// feed holds a session with what is fed.
func feed(t *testing.T, messages [][]byte) {
	reg := &registry{}
	server := NewServer(reg, Config{Heartbeat: heartbeat, Deadline: deadline, Log: zap.NewNop()})
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() { defer close(stopped); _ = server.Run(ctx) }()
	defer func() { cancel(); <-stopped }()

	calling, hangUp := context.WithCancel(context.Background())
	call := &fed{ctx: calling, up: make(chan []byte)}
	ended := make(chan error, 1)
	go func() { ended <- server.Session(call); hangUp() }()
	said := map[string]bool{}
	for _, b := range messages {
		if len(b) == 0 {
			time.Sleep(heartbeat)
			continue
		}
		note(said, b)
		select {
		case call.up <- b:
		case <-calling.Done():
		}
		synctest.Wait()
		checkShown(t, reg.last(), said)
	}
	close(call.up)
	if code := status.Code(<-ended); !allowed[code] {
		t.Errorf("the call ended with %v", code)
	}
	if m := reg.last(); m != nil {
		m.lastWord()
		if m.shown() != nil {
			t.Error("it is shown after its end")
		}
	}
}

// allowed is how the protocol lets a call end.
var allowed = map[codes.Code]bool{
	codes.OK: true, codes.InvalidArgument: true, codes.DeadlineExceeded: true,
}

// note keeps what the message says that a set is.
func note(said map[string]bool, b []byte) {
	msg := new(scoutv1.SessionRequest)
	if proto.Unmarshal(b, msg) == nil && msg.GetUpdate() != nil {
		said[sum(msg.GetUpdate().GetCount(), msg.GetUpdate().GetDigest())] = true
	}
}

func sum(count, digest uint64) string { return fmt.Sprint(count, " ", digest) }

// checkShown fails unless what m shows is sound.
func checkShown(t *testing.T, m *member, said map[string]bool) {
	t.Helper()
	if m == nil || m.shown() == nil {
		return
	}
	set := m.shown()
	var again files.Builder
	var last []byte
	for c := set.Cursor(); c.Next(); {
		name := c.Name()
		if wrong := wrongName(string(name)); wrong || again.Len() > 0 && bytes.Compare(last, name) >= 0 {
			t.Errorf("it shows %q after %q", name, last)
			return
		}
		again.Add(name)
		last = append(last[:0], name...)
	}
	if n, digest := again.Len(), again.Set().Digest(); !said[sum(uint64(n), digest)] || digest != set.Digest() || n != set.Len() {
		t.Errorf("it shows %d names with digest %x, of %d and %x", n, digest, set.Len(), set.Digest())
	}
}

func wrongName(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part == "." || part == ".." {
			return true
		}
	}
	return len(name) > files.MaxName || strings.ContainsRune(name, 0)
}
