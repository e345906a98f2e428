package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	// How long a connection beyond the limit lives: as long as it takes to be told.
	farewellTime = time.Second
	// How many there are of those at a time. Others are just closed.
	farewells = 64
)

// Listener lets at most so many connections at a time come from one address.
// It accepts a few beyond that, for a moment, for their servers to say why they
// serve them nothing: Refuse and ServerOptions do.
type Listener struct {
	net.Listener
	limit  int
	knocks *knocks

	mu     sync.Mutex
	conns  map[*counted]bool // that are open; false: beyond the limit
	open   map[netip.Prefix]int
	beyond map[string]bool // remote addresses of connections beyond the limit
}

// PerAddress returns a Listener on l, which must be of TCP. A limit of 0 is
// none.
func PerAddress(l net.Listener, limit int, log *zap.Logger) *Listener {
	return &Listener{
		Listener: l, limit: limit, knocks: &knocks{log: log},
		conns:  make(map[*counted]bool),
		open:   make(map[netip.Prefix]int),
		beyond: make(map[string]bool),
	}
}

// Accept waits for the next connection that is to be served or told why not.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		if counted := l.take(tcp); counted != nil {
			return counted, nil
		}
		tcp.Close() //nolint:errcheck // it is unwanted
	}
}

// take counts a connection in; nil when there is not even room to refuse it.
func (l *Listener) take(conn *net.TCPConn) *counted {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &counted{TCPConn: conn, listener: l, from: neighbourhood(conn.RemoteAddr())}
	if l.limit == 0 || l.open[c.from] < l.limit {
		l.conns[c] = true
		l.open[c.from]++
		return c
	}
	l.knocks.note(conn.RemoteAddr(), l.tooMany())
	if len(l.beyond) >= farewells {
		return nil
	}
	l.conns[c] = false
	l.beyond[conn.RemoteAddr().String()] = true
	time.AfterFunc(farewellTime, func() { c.Close() }) //nolint:errcheck // it may be closed
	return c
}

// counted is a connection that is counted until it is closed.
type counted struct {
	*net.TCPConn
	listener *Listener
	from     netip.Prefix
}

func (c *counted) Close() error {
	c.listener.leave(c)
	return c.TCPConn.Close()
}

func (l *Listener) leave(c *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	within, open := l.conns[c]
	delete(l.conns, c)
	switch {
	case !open:
	case !within:
		delete(l.beyond, c.RemoteAddr().String())
	case l.open[c.from] == 1:
		delete(l.open, c.from)
	default:
		l.open[c.from]--
	}
}

// Cut closes all connections. A gRPC server that stops would wait for those on
// which nobody has said anything yet.
func (l *Listener) Cut() {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range conns {
		c.Close() //nolint:errcheck // whatever is left of it
	}
}

// neighbourhood is all addresses that one machine can have at will: of IPv6 a
// network of 64 bits.
func neighbourhood(a net.Addr) netip.Prefix {
	port, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip := port.Addr().Unmap().WithZone("")
	prefix, err := ip.Prefix(min(64, ip.BitLen()))
	if err != nil {
		return netip.Prefix{}
	}
	return prefix
}

// Refuse says why the connection from a remote address is served nothing; nil
// when it is within the limit.
func (l *Listener) Refuse(remote string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.beyond[remote] {
		return errors.New(l.tooMany())
	}
	return nil
}

func (l *Listener) tooMany() string {
	return fmt.Sprintf("there are %d connections from this address already, the scoutmaster's -max-connections-per-address", l.limit)
}

// ServerOptions make a gRPC server refuse calls on connections beyond the
// limit.
func (l *Listener) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := l.refuseCall(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, request)
		}),
		grpc.ChainStreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := l.refuseCall(stream.Context()); err != nil {
				return err
			}
			return handle(server, stream)
		}),
	}
}

func (l *Listener) refuseCall(ctx context.Context) error {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	if err := l.Refuse(p.Addr.String()); err != nil {
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	return nil
}
