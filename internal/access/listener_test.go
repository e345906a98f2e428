package access

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

func listen(t *testing.T, log *zap.Logger) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { inner.Close() })
	return Limit(inner, Limits{Address: 2}, log)
}

func dial(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func accept(t *testing.T, l *Listener) net.Conn {
	t.Helper()
	c, err := l.Accept()
	must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestConnectionsPerAddress(t *testing.T) {
	log, logs := observed()
	l := listen(t, log)
	refused := func() bool {
		t.Helper()
		dial(t, l)
		c := accept(t, l)
		err := l.Refuse(c.RemoteAddr().String())
		if err != nil && !strings.Contains(err.Error(), "-max-connections-per-address") {
			t.Error(err)
		}
		return err != nil
	}
	dial(t, l)
	first := accept(t, l)
	if refused() {
		t.Error("the second is refused")
	}
	for range 10 {
		if !refused() {
			t.Error("one beyond the limit is not refused")
		}
	}
	if n := logs.FilterMessage("peer refused").Len(); n == 0 || n > 5 {
		t.Errorf("logged %d times", n)
	}

	// Somewhere else is another matter, and so is a place that is free again,
	// once, however often it is closed.
	elsewhere, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}).Dial("tcp", l.Addr().String())
	must(t, err)
	defer elsewhere.Close()
	if l.Refuse(accept(t, l).RemoteAddr().String()) != nil {
		t.Error("another address is refused")
	}
	first.Close()
	first.Close()
	if refused() || !refused() {
		t.Error("the place that was freed was given to none, or to two")
	}
}

// Refused connections that stay open are closed, a crowd of them at once.
func TestCrowd(t *testing.T) {
	l := listen(t, zap.NewNop())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := l.Accept(); err != nil { // nobody looks at it again
				return
			}
		}
	}()
	defer func() { l.Close(); <-ended }()
	var crowd []net.Conn
	for range 2 + 2*maxRefusals {
		crowd = append(crowd, dial(t, l))
	}
	for i, c := range crowd[2:] {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Errorf("connection %d was served", i)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.beyond) != 0 {
		t.Errorf("%d are remembered", len(l.beyond))
	}
}

func TestClientPrefix(t *testing.T) {
	for address, want := range map[string]string{
		"10.0.0.1:1": "10.0.0.1/32", "[::ffff:10.0.0.1]:9": "10.0.0.1/32", "[2001:db8::1]:1": "2001:db8::/64",
		"[2001:db8:0:0:ffff::2]:1": "2001:db8::/64", "[::1]:1": "::/64",
	} {
		a, err := net.ResolveTCPAddr("tcp", address)
		must(t, err)
		if got := clientPrefix(a).String(); got != want {
			t.Errorf("%s is in %s", address, got)
		}
	}
	zoned := &net.TCPAddr{IP: net.ParseIP("fe80::1"), Zone: "eth0", Port: 1}
	if got := clientPrefix(zoned).String(); got != "fe80::/64" {
		t.Errorf("%s is in %s", zoned, got)
	}
}

// Servers say it in their own words.
func TestRefusals(t *testing.T) {
	l := listen(t, zap.NewNop())
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := l.Refuse(r.RemoteAddr); err != nil {
			http.Error(w, err.Error(), http.StatusTooManyRequests)
		}
	}))
	site.Listener.Close()
	site.Listener = l
	site.Start()
	defer site.Close()
	dial(t, l)
	dial(t, l)
	answer, err := site.Client().Get(site.URL)
	must(t, err)
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if answer.StatusCode != http.StatusTooManyRequests || !strings.Contains(string(body), "-max-connections-per-address") {
		t.Errorf("%v, %s, %v", answer, body, err)
	}

	l = listen(t, zap.NewNop())
	server := grpc.NewServer(l.ServerOptions()...)
	healthpb.RegisterHealthServer(server, health.NewServer())
	ended := make(chan struct{})
	go func() { defer close(ended); server.Serve(l) }()
	defer func() { l.Cut(); server.Stop(); <-ended }()
	dial(t, l)
	dial(t, l)
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	_, err = healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "-max-connections-per-address") {
		t.Errorf("over gRPC: %v", err)
	}
	w, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	must(t, err)
	if _, err = w.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over gRPC: %v", err)
	}
}

// Connections beyond the total are closed at once and logged together, and one
// address cannot have the total to itself.
func TestTotalLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	log, logs := observed()
	l := Limit(inner, Limits{Total: 16, Address: 1000}, log)
	accepted := make(chan net.Conn, 100)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	defer func() { l.Close(); <-ended }()
	from := func(host byte) net.Conn {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, host)}}).Dial("tcp", l.Addr().String())
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	var open []net.Conn
	for range 14 {
		from(1)
		open = append(open, <-accepted)
	}
	from(1) // beyond the limit of the address
	if refused := <-accepted; l.Refuse(refused.RemoteAddr().String()) == nil {
		t.Error("one address may have the whole total")
	} else if err := l.Refuse(refused.RemoteAddr().String()); !strings.Contains(err.Error(), "14 connections") || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("refused because %v", err)
	}
	for range 5 { // refused connections do not take the places of others either
		conn := from(1)
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection beyond the refusals: %v", err)
		}
	}
	from(2)
	if other := <-accepted; l.Refuse(other.RemoteAddr().String()) != nil {
		t.Error("another address is refused")
	}
	for range 5 {
		conn := from(3)
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection beyond the total: %v", err)
		}
	}
	if n := logs.FilterMessage("connections refused").Len(); n == 0 || n > 3 {
		t.Errorf("logged %d times", n)
	}
	open[0].Close()
	open[0].Close()
	from(3)
	if <-accepted == nil {
		t.Error("no connection is accepted after one was closed")
	}
}
