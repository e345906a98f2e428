//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	scoutv1 "scout/proto/scout/v1"
)

// assault is an attack on a master, written from scout.proto alone. It runs until ctx
// is done, over any number of connections.
type assault struct {
	t      *testing.T
	ctx    context.Context
	master *master
	victim *scout       // whom the master knows besides
	did    atomic.Int64 // how often it did what it does
}

// assaults are the attacks of peers and consumers.
var assaults = []struct {
	name string
	by   int // how many do it at once
	do   func(a *assault, who int)
}{
	{"a flood of tiny updates", 2, (*assault).tinyUpdates},
	{"a flood of empty messages", 2, (*assault).emptyMessages},
	{"messages that cannot be decoded", 4, (*assault).garbage},
	{"bytes that are no HTTP/2", 4, (*assault).noise},
	{"halves of large messages", 20, (*assault).halfMessage},
	{"streams that say Hello and never beat", 4, (*assault).neverBeats},
	{"streams that say nothing", 4, (*assault).saysNothing},
	{"offers of 2^64 names that never come", 20, (*assault).hugeOffer},
	{"snapshots with wrong digests, again and again", 2, (*assault).wrongDigests},
	{"asking without reading the answers", 4, (*assault).neverReads},
	{"registrations under the name of a live scout", 8, (*assault).usurps},
	{"registrations under names without end", 8, (*assault).manyNames},
	{"lists that are asked for and never read", 100, (*assault).neverReadsList},
	{"watchers that never read", 100, (*assault).neverReadsEvents},
	{"requests whose headers never end", 100, (*assault).endlessHeaders},
	{"a flood of requests", 8, (*assault).requests},
	{"queries as long as can be", 4, (*assault).longQueries},
}

// During each attack a registered scout stays, its changes are listed soon and correctly,
// and the memory of the master is bounded. With -long the attacks are longer and run one
// after the other, so that the figures are meaningful.
func TestHostility(t *testing.T) {
	t.Parallel()
	for _, test := range assaults {
		t.Run(test.name, func(t *testing.T) {
			span := time.Second
			if *long {
				span = 5 * time.Second
			} else {
				t.Parallel()
			}
			m := startMaster(t)
			dir := tempDir(t)
			names := fill(t, dir, 200)
			s := startScout(t, m, "victim", dir)
			converges(t, m, s)
			c := consume(t, m)
			c.isWhole(s, names)

			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			a := &assault{t: t, ctx: ctx, master: m, victim: s}
			before, used, began := resident(t, m.Process), cpu(t, m.Process), time.Now()
			var strangers sync.WaitGroup
			for who := range test.by {
				strangers.Go(func() { test.do(a, who) })
			}
			fresh, most := a.freshness(span)
			busy := (cpu(t, m.Process) - used).Seconds() / time.Since(began).Seconds()
			cancel()
			strangers.Wait()
			t.Logf("| %s | %d | %d | %.0f %% | %d → %d MiB | %d / %d ms |", test.name, test.by, a.did.Load(), 100*busy, before, most,
				fresh[len(fresh)/2].Milliseconds(), fresh[len(fresh)-1].Milliseconds())

			if a.did.Load() == 0 {
				t.Error("nothing was done")
			}
			if slowest := fresh[len(fresh)-1]; slowest > 2*soon {
				t.Errorf("a change took %s", slowest)
			}
			if bound := before + 192; most > bound && !raced {
				t.Errorf("the master had %d MiB, %d before", most, before)
			}
			c.done()
			never(t, s.Process, 0, "master lost", "resync requested")
			write(t, dir, "after all")
			awaitList(t, m, s.host, s.dir, find(t, dir)...)
		})
	}
}

// freshness makes changes for the span, and longer while strangers on a busy
// machine have yet to do anything. It returns how long each took to be listed, in
// order of that, and how much memory the master had at most.
func (a *assault) freshness(span time.Duration) (fresh []time.Duration, most int) {
	began := time.Now()
	for i := 0; time.Since(began) < span || a.did.Load() == 0 && a.ctx.Err() == nil; i++ {
		name := fmt.Sprintf("fresh%06d", i)
		path := filepath.Join(a.victim.dir, name)
		must(a.t, os.WriteFile(path, nil, 0o600))
		fresh = append(fresh, lookFor(a.t, a.master, name, true))
		must(a.t, os.Remove(path))
		most = max(most, resident(a.t, a.master.Process))
		time.Sleep(20 * time.Millisecond)
	}
	slices.Sort(fresh)
	return fresh, most
}

// connect opens a connection of its own.
func (a *assault) connect() *grpc.ClientConn {
	conn := dialGRPC(a.t, a.master)
	context.AfterFunc(a.ctx, func() { conn.Close() })
	return conn
}

// call opens a call that ends with the assault; nil when it is over.
func (a *assault) call(conn *grpc.ClientConn, options ...grpc.CallOption) *raw {
	stream, err := scoutv1.NewScoutmasterServiceClient(conn).Session(a.ctx, options...)
	if err != nil {
		return nil
	}
	return &raw{t: a.t, conn: conn, stream: stream}
}

// begin registers under a name of one's own and is granted a snapshot, or false
// when the call has ended.
func (r *raw) begin(host, dir string) bool {
	r.hello(host, dir)
	r.offer()
	_, err := r.hear("Grant")
	return err == nil
}

// sends sends a message again and again, and counts.
func (a *assault) sends(r *raw, next func() *scoutv1.SessionRequest) {
	for a.ctx.Err() == nil {
		if err := r.stream.Send(next()); err != nil {
			return
		}
		a.did.Add(1)
	}
}

// tinyUpdates adds a name and removes it.
func (a *assault) tinyUpdates(who int) {
	r := a.call(a.connect())
	if r == nil || !r.begin("hostile", fmt.Sprint("/", who)) {
		return
	}
	r.sendAll([]string{"a"})
	with, without := []string{"a", "b"}, []string{"a"}
	a.sends(r, func() *scoutv1.SessionRequest {
		r.revision++
		if r.revision%2 == 0 {
			return asUpdate(&scoutv1.Update{Revision: r.revision, Added: encode("b"), Count: 2, Digest: digest(with)})
		}
		return asUpdate(&scoutv1.Update{Revision: r.revision, Removed: encode("b"), Count: 1, Digest: digest(without)})
	})
}

func (a *assault) emptyMessages(who int) {
	r := a.call(a.connect())
	if r == nil {
		return
	}
	r.hello("hostile", fmt.Sprint("/", who))
	a.sends(r, func() *scoutv1.SessionRequest { return &scoutv1.SessionRequest{} })
}

// garbage sends bytes in the place of messages, a call at a time.
func (a *assault) garbage(int) {
	conn := a.connect()
	for i := 0; a.ctx.Err() == nil; i++ {
		junk := bytesCodec(bytes.Repeat([]byte{0xff, byte(i), 0x0a, 0x7f}, 1+i%1000))
		if r := a.call(conn, grpc.ForceCodecV2(junk)); r != nil {
			r.send(nil)
			r.hear("nothing")
			a.did.Add(1)
		}
	}
}

// noise sends bytes to the gRPC port, a connection at a time.
func (a *assault) noise(int) {
	a.storm(a.master.GRPC, func(conn net.Conn) {
		conn.Write(bytes.Repeat([]byte("\x00\xffPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 100))
		conn.Read(make([]byte, 100))
	})
}

// storm opens connections and does something with each, one after the other.
func (a *assault) storm(address string, do func(net.Conn)) {
	for a.ctx.Err() == nil {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			continue
		}
		stop := context.AfterFunc(a.ctx, func() { conn.Close() })
		do(conn)
		stop()
		conn.Close()
		a.did.Add(1)
	}
}

// halfMessage announces a message of four megabytes, and sends all of it but the
// last byte.
func (a *assault) halfMessage(int) {
	a.storm(a.master.GRPC, func(conn net.Conn) {
		var headers bytes.Buffer
		e := hpack.NewEncoder(&headers)
		for _, f := range [][2]string{
			{":method", "POST"},
			{":scheme", "http"},
			{":path", scoutv1.ScoutmasterService_Session_FullMethodName},
			{":authority", "x"},
			{"content-type", "application/grpc"},
			{"te", "trailers"},
		} {
			must(a.t, e.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		const size = 4<<20 - 1
		body := binary.BigEndian.AppendUint32([]byte{0}, size)
		body = append(body, make([]byte, size-1)...)
		io.WriteString(conn, http2.ClientPreface)
		frames := http2.NewFramer(conn, conn)
		frames.WriteSettings()
		frames.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers.Bytes(), EndHeaders: true})
		window := 65535
		for len(body) > 0 && a.ctx.Err() == nil {
			n := min(len(body), window, 16<<10)
			if n > 0 {
				if frames.WriteData(1, false, body[:n]) != nil {
					return
				}
				body, window = body[n:], window-n
				continue
			}
			f, err := frames.ReadFrame()
			if err != nil {
				return
			}
			if w, ok := f.(*http2.WindowUpdateFrame); ok && w.StreamID == 0 {
				window += int(w.Increment)
			}
		}
		a.did.Add(1)
		io.Copy(io.Discard, conn)
	})
}

// neverBeats opens streams by the hundred, and keeps them as long as they last.
func (a *assault) neverBeats(who int) {
	a.streams(func(r *raw, i int) { r.hello("hostile", fmt.Sprint("/", who, "/", i)) })
}

func (a *assault) saysNothing(int) { a.streams(func(*raw, int) {}) }

// streams opens streams, ten at a time over one connection, and goes away from
// those that are oldest.
func (a *assault) streams(do func(r *raw, i int)) {
	var conn *grpc.ClientConn
	for i := 0; a.ctx.Err() == nil; i++ {
		if i%10 == 0 {
			conn = a.connect()
		}
		if r := a.call(conn); r != nil {
			do(r, i)
			a.did.Add(1)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// hugeOffer waits for a Grant that it does not use, again and again.
func (a *assault) hugeOffer(who int) {
	conn := a.connect()
	for a.ctx.Err() == nil {
		r := a.call(conn)
		if r == nil {
			return
		}
		r.hello("hostile", fmt.Sprint("/", who))
		r.send(&scoutv1.SessionRequest{Message: &scoutv1.SessionRequest_Offer{
			Offer: &scoutv1.Offer{Count: math.MaxUint64, Bytes: math.MaxUint64},
		}})
		r.hear("Grant")
		a.did.Add(1)
		r.hear("nothing")
	}
}

// wrongDigests sends a megabyte of names with a digest that is not theirs.
func (a *assault) wrongDigests(who int) {
	r := a.call(a.connect())
	if r == nil {
		return
	}
	names := encode(bulkyNames(who, 1000)...)
	r.hello("hostile", fmt.Sprint("/", who))
	for a.ctx.Err() == nil {
		r.offer()
		if _, err := r.hear("Grant"); err != nil {
			return
		}
		r.update(&scoutv1.Update{Reset_: true, Revision: math.MaxUint64, Added: names, Count: math.MaxUint64, Digest: math.MaxUint64})
		if _, err := r.hear("Resync"); err != nil {
			return
		}
		a.did.Add(1)
	}
}

// neverReads asks for one answer after another.
func (a *assault) neverReads(who int) {
	conn := a.connect()
	for i := 0; a.ctx.Err() == nil; i++ {
		r := a.call(conn)
		if r == nil {
			return
		}
		r.hello("hostile", fmt.Sprint("/", who, "/", i))
		for range 2000 {
			r.offer()
			r.unavailable("again")
			a.did.Add(1)
		}
	}
}

func (a *assault) usurps(int) {
	a.registers(func(int) (host, dir string) { return a.victim.host, a.victim.dir })
}

func (a *assault) manyNames(who int) {
	a.registers(func(i int) (host, dir string) { return fmt.Sprint("hostile ", i), fmt.Sprint("/", who) })
}

// registers says Hello, and goes away.
func (a *assault) registers(as func(i int) (host, dir string)) {
	conn := a.connect()
	for i := 0; a.ctx.Err() == nil; i++ {
		r := a.call(conn)
		if r == nil {
			return
		}
		r.hello(as(i))
		if _, err := r.stream.Recv(); err == nil {
			r.stream.CloseSend()
			r.hear("nothing")
		}
		a.did.Add(1)
	}
}

// neverReadsList asks and does not even close.
func (a *assault) neverReadsList(int) {
	a.storm(a.master.HTTP, func(conn net.Conn) {
		for range 100 {
			if _, err := io.WriteString(conn, "GET /files HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
				return
			}
			a.did.Add(1)
		}
		<-a.ctx.Done()
	})
}

// neverReadsEvents watches and takes nothing.
func (a *assault) neverReadsEvents(int) {
	a.storm(a.master.HTTP, func(conn net.Conn) {
		must(a.t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		io.WriteString(conn, "GET /files?format=events HTTP/1.1\r\nHost: localhost\r\n\r\n")
		a.did.Add(1)
		<-a.ctx.Done()
	})
}

func (a *assault) endlessHeaders(int) {
	a.storm(a.master.HTTP, func(conn net.Conn) {
		io.WriteString(conn, "GET /files HTTP/1.1\r\nHost: localhost\r\n")
		for i := 0; a.ctx.Err() == nil; i++ {
			if _, err := fmt.Fprintf(conn, "X-%d: x\r\n", i); err != nil {
				return
			}
			a.did.Add(1)
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func (a *assault) requests(who int) {
	paths := []string{"/files", "/files?prefix=0", "/none", "/files?colour=red", "/files?prefix=%zz", "/healthz"}
	a.asks(func(i int) (method, url string) {
		return [...]string{http.MethodGet, http.MethodHead, "BREW"}[i%3], paths[(who+i)%len(paths)]
	})
}

func (a *assault) longQueries(int) {
	query := "/files?prefix=x" + strings.Repeat("&prefix=0", 1800) // of at most 16 KiB
	a.asks(func(int) (method, url string) { return http.MethodGet, query })
}

// asks asks, and throws away what is answered.
func (a *assault) asks(what func(i int) (method, url string)) {
	var own http.Client
	own.Transport = &http.Transport{}
	for i := 0; a.ctx.Err() == nil; i++ {
		method, url := what(i)
		r, err := http.NewRequestWithContext(a.ctx, method, "http://"+a.master.HTTP+url, nil)
		must(a.t, err)
		answer, err := own.Do(r)
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return
		}
		if err != nil {
			continue
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		a.did.Add(1)
	}
}
