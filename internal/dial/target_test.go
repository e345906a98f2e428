package dial

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
)

// listen returns a scoutmaster's listener on this machine, whose gRPC server says
// which authority it was called by.
func listen(t *testing.T) (address string, authority func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan string, 10)
	server := grpc.NewServer(grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		called <- strings.Join(md[":authority"], " ")
		return next(ctx, req)
	}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return l.Addr().String(), func() string { return <-called }
}

// call makes one call to the only target.
func call(t *testing.T, d *Dialer) error {
	t.Helper()
	t.Cleanup(d.Close)
	targets, err := d.Targets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := targets[0].Client(grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// Whatever the user writes, it is what the scoutmaster is called, and where the
// connection goes is what the names stand for.
func TestAuthority(t *testing.T) {
	address, authority := listen(t)
	for master, want := range map[string]struct{ dialed, authority string }{
		"10.0.0.7:3000":       {"10.0.0.7:3000", "10.0.0.7:3000"},
		"list_1.example:3000": {"10.0.0.1:3000", "list_1.example:3000"},
		"[fe80::1%eth0]:3000": {"[fe80::1%eth0]:3000", "[fe80::1]:3000"},
		"dns:3000":            {"10.0.0.1:3000", "dns:3000"},
		"unix:3000":           {"10.0.0.1:3000", "unix:3000"},
		"passthrough:3000":    {"10.0.0.1:3000", "passthrough:3000"},
	} {
		var dialed string
		d := &Dialer{
			Masters: []string{master},
			Lookup: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
			},
			Connect: func(ctx context.Context, network, to string) (net.Conn, error) {
				dialed = to
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}
		if err := call(t, d); err != nil {
			t.Errorf("%s: %v", master, err)
			continue
		}
		if got := authority(); got != want.authority || dialed != want.dialed {
			t.Errorf("%s: dialed %s as %s", master, dialed, got)
		}
	}
}

// proxy is a proxy of HTTP that answers CONNECT with a status. It returns its URL
// and the requests that it gets.
func proxy(t *testing.T, status int, target string) (*url.URL, chan *http.Request) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests := make(chan *http.Request, 10)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			in := bufio.NewReader(conn)
			request, err := http.ReadRequest(in)
			if err != nil {
				_ = conn.Close()
				continue
			}
			requests <- request
			fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\n\r\n", status, http.StatusText(status))
			if status == http.StatusOK {
				there, err := net.Dial("tcp", target)
				if err != nil {
					t.Error(err)
					return
				}
				go func() { _, _ = io.Copy(there, in); _ = there.Close() }()
				_, _ = io.Copy(conn, there)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return &url.URL{Scheme: "http", Host: l.Addr().String(), User: url.UserPassword("me", "secret")}, requests
}

func TestProxy(t *testing.T) {
	address, authority := listen(t)
	through, requests := proxy(t, http.StatusOK, address)
	d := &Dialer{Masters: []string{"list.example:3000"}, Proxy: func(string) (*url.URL, error) { return through, nil }}
	if err := call(t, d); err != nil {
		t.Fatal(err)
	}
	request := <-requests
	if request.Method != http.MethodConnect || request.Host != "list.example:3000" || request.Header.Get("Proxy-Authorization") != "Basic bWU6c2VjcmV0" {
		t.Errorf("the proxy is asked %s %s with %v", request.Method, request.Host, request.Header)
	}
	if got := authority(); got != "list.example:3000" {
		t.Errorf("called as %s", got)
	}
}

// A proxy that is the cause is named, without the password in its URL.
func TestProxyFails(t *testing.T) {
	refuses, _ := proxy(t, http.StatusForbidden, "")
	silent := &url.URL{Scheme: "http", Host: "127.0.0.1:1"}
	for want, through := range map[string]*url.URL{
		"the proxy of HTTPS_PROXY: it refuses to connect: 403 Forbidden":              refuses,
		"the proxy of HTTPS_PROXY: dial tcp 127.0.0.1:1: connect: connection refused": silent,
		"the proxy of HTTPS_PROXY: its kind, socks5, is not supported: only http is":  {Scheme: "socks5", Host: "proxy.example"},
	} {
		d := &Dialer{Masters: []string{"list.example:3000"}, Proxy: func(string) (*url.URL, error) { return through, nil }}
		if err := call(t, d); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	target := Target{Master: "list.example:3000", proxy: refuses}
	if got := target.String(); !strings.Contains(got, "through the proxy http://me:xxxxx@"+refuses.Host) {
		t.Errorf("for people: %s", got)
	}
}
