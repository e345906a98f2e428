package dial

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
)

// Client returns a connection to the target, which is made when it is first
// used. gRPC never sees the address that the user wrote but as the authority of
// its calls, so it cannot take it for a URL.
func (t Target) Client(options ...grpc.DialOption) (*grpc.ClientConn, error) {
	return grpc.NewClient(scheme+":///", append(options,
		grpc.WithResolvers(single{t}),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return t.connect(ctx) }))...)
}

const scheme = "scoutmaster"

// single is a resolver of gRPC that knows one address.
type single struct{ target Target }

func (single) Scheme() string { return scheme }

func (s single) Build(_ resolver.Target, conn resolver.ClientConn, _ resolver.BuildOptions) (resolver.Resolver, error) {
	return s, conn.UpdateState(resolver.State{Addresses: []resolver.Address{{Addr: s.target.Address}}})
}

// OverrideAuthority returns what the scoutmaster is called, in TLS too: an IP
// address without a zone, which means something on this machine only.
func (s single) OverrideAuthority(resolver.Target) string {
	host, port, err := net.SplitHostPort(s.target.Master)
	if err != nil {
		return s.target.Master
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.WithZone("").String()
	}
	return net.JoinHostPort(host, port)
}

func (single) ResolveNow(resolver.ResolveNowOptions) {}
func (single) Close()                                {}

func (t Target) connect(ctx context.Context) (net.Conn, error) {
	if t.proxy == nil {
		return t.dialer.connect(ctx, t.Address)
	}
	conn, err := t.throughProxy(ctx)
	if err != nil {
		return nil, fmt.Errorf("the proxy of HTTPS_PROXY: %w", err)
	}
	return conn, nil
}

func (d *Dialer) connect(ctx context.Context, address string) (net.Conn, error) {
	if d.Connect != nil {
		return d.Connect(ctx, "tcp", address)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", address)
}

// throughProxy has the proxy connect to the scoutmaster.
func (t Target) throughProxy(ctx context.Context) (net.Conn, error) {
	if t.proxy.Scheme != "http" {
		return nil, fmt.Errorf("its kind, %s, is not supported: only http is", t.proxy.Scheme)
	}
	conn, err := t.toProxy(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := openTunnel(conn, t.Address, t.proxy.User)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tunnel, nil
}

// toProxy connects to the first of the proxy's addresses that answers.
func (t Target) toProxy(ctx context.Context) (net.Conn, error) {
	port := t.proxy.Port()
	if port == "" {
		port = "80"
	}
	addrs, err := t.dialer.resolve(ctx, t.proxy.Hostname())
	for _, addr := range addrs {
		var conn net.Conn
		if conn, err = t.dialer.connect(ctx, net.JoinHostPort(addr.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// openTunnel asks for a tunnel to the address, and returns the connection that
// goes through it.
func openTunnel(conn net.Conn, address string, user *url.Userinfo) (net.Conn, error) {
	request := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: address}, Host: address, Header: http.Header{}}
	if user != nil {
		password, _ := user.Password()
		request.Header.Set("Proxy-Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)))
	}
	if err := request.Write(conn); err != nil {
		return nil, err
	}
	in := bufio.NewReader(conn)
	answer, err := http.ReadResponse(in, request)
	if err != nil {
		return nil, fmt.Errorf("no answer of HTTP: %w", err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, errors.New("it refuses to connect: " + answer.Status)
	}
	return &buffered{conn, in}, nil
}

// buffered is a connection of which something was read into a buffer.
type buffered struct {
	net.Conn
	in *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.in.Read(p) }
