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
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"scout/internal/throttle"
)

const (
	// refusalTime is how long a connection beyond the limit of its address stays
	// open, so that the server can send the reason.
	refusalTime = time.Second
	// maxRefusals is how many such connections there are at a time at most. Further
	// ones are closed at once.
	maxRefusals = 64
	// logInterval is the least time between two lines about rejected connections.
	logInterval = time.Second
)

// Limits bound the open connections of a Listener. 0 is no limit.
type Limits struct {
	Total   int // connections beyond it are closed at once
	Address int // from one address; below Total, so that one address cannot shut out others
}

// Listener bounds the connections that are open. It accepts a few beyond the limit
// of an address, for refusalTime, so that the server can send the reason: see Refuse
// and ServerOptions.
type Listener struct {
	net.Listener
	limits   Limits
	tooMany  string // why a connection beyond the limit of its address is refused
	refusals int    // how many connections beyond the limit of an address may be open
	rejected rejected
	full     rejected

	mu     sync.Mutex
	conns  map[*counted]bool // that are open; false: beyond the limit of the address
	open   map[netip.Prefix]int
	beyond map[string]bool // remote addresses of connections beyond the limit
}

// Limit returns a Listener on l, which must be of TCP. The log names l.
func Limit(l net.Listener, limits Limits, log *zap.Logger) *Listener {
	cause := ", the scoutmaster's -max-connections-per-address"
	if limits.Total > 0 && (limits.Address == 0 || limits.Address >= limits.Total) {
		limits.Address = max(1, limits.Total-max(1, limits.Total/8))
		cause = ", as many as the scoutmaster's limit of open files allows: raise it (ulimit -n, or LimitNOFILE= of the service)"
	}
	refusals := maxRefusals
	if limits.Total > 0 { // the connections of one address, refused or not, leave places to others
		refusals = min(maxRefusals, (limits.Total-limits.Address)/2)
	}
	return &Listener{
		Listener: l, limits: limits, refusals: refusals,
		tooMany:  fmt.Sprintf("there are %d connections from this address already%s", limits.Address, cause),
		rejected: newRejected(log, "peer refused"), full: newRejected(log, "connections refused"),
		conns:  make(map[*counted]bool),
		open:   make(map[netip.Prefix]int),
		beyond: make(map[string]bool),
	}
}

// rejected logs rejected connections, at most one line per logInterval, with the
// number of connections. It is safe for concurrent use.
type rejected struct {
	log     *zap.Logger
	message string
	limiter *throttle.Limiter
}

func newRejected(log *zap.Logger, message string) rejected {
	return rejected{log, message, &throttle.Limiter{Interval: logInterval}}
}

func (r rejected) note(fields ...zap.Field) {
	if withheld, ok := r.limiter.Allow(); ok {
		r.log.Warn(r.message, append(fields, zap.Int("refused", withheld+1))...)
	}
}

// notePeer logs that a connection from an address was rejected.
func (r rejected) notePeer(from net.Addr, reason string) {
	r.note(zap.Stringer("address", from), zap.String("reason", reason))
}

// Accept waits for the next connection that is served or refused with a reason.
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
		tcp.Close() //nolint:errcheck // it is rejected
	}
}

// take counts a connection. It returns nil if the connection is to be closed at
// once.
func (l *Listener) take(conn *net.TCPConn) *counted {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &counted{TCPConn: conn, listener: l, from: clientPrefix(conn.RemoteAddr())}
	if l.limits.Total > 0 && len(l.conns) >= l.limits.Total {
		l.full.note(zap.Int("limit", l.limits.Total),
			zap.String("raise", "the limit of open files (ulimit -n, or LimitNOFILE= of the service)"))
		return nil
	}
	if l.limits.Address == 0 || l.open[c.from] < l.limits.Address {
		l.conns[c] = true
		l.open[c.from]++
		return c
	}
	l.rejected.notePeer(conn.RemoteAddr(), l.tooMany)
	if len(l.beyond) >= l.refusals {
		return nil
	}
	l.conns[c] = false
	l.beyond[conn.RemoteAddr().String()] = true
	time.AfterFunc(refusalTime, func() { c.Close() }) //nolint:errcheck // it may be closed
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

// ReadOnReady lets gRPC read without a buffer for each idle connection.
func (c *counted) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	return readOnReady(c.TCPConn, size, pool)
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

// Cut closes all connections. A gRPC server that stops would wait for connections
// without a handshake.
func (l *Listener) Cut() {
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, c := range conns {
		c.Close() //nolint:errcheck // it may be closed
	}
}

// clientPrefix returns the network from which one machine can choose its addresses:
// 64 bits of IPv6, and the whole address of IPv4.
func clientPrefix(a net.Addr) netip.Prefix {
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

// Refuse returns why the connection from a remote address is refused, or nil if it is
// within the limit.
func (l *Listener) Refuse(remote string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.beyond[remote] {
		return errors.New(l.tooMany)
	}
	return nil
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
