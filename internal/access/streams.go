package access

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// spareStreams is how many streams beyond the limit may be open on a connection while
// they are refused.
const spareStreams = 16

// StreamLimit limits the open streams on one connection of a gRPC server. Further
// streams are refused with RESOURCE_EXHAUSTED; the limit of HTTP/2 alone would make
// clients wait silently. 0 is no limit.
func StreamLimit(limit uint32) []grpc.ServerOption {
	if limit == 0 {
		return nil
	}
	s := &streams{limit: limit, open: make(map[string]uint32)}
	return []grpc.ServerOption{grpc.MaxConcurrentStreams(limit + spareStreams), grpc.ChainStreamInterceptor(s.intercept)}
}

// streams counts the open streams of each connection.
type streams struct {
	limit uint32

	mu   sync.Mutex
	open map[string]uint32 // by the connection's remote address
}

func (s *streams) intercept(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	p, ok := peer.FromContext(stream.Context())
	if !ok {
		return handle(server, stream)
	}
	connection := p.Addr.String()
	if !s.enter(connection) {
		return status.Errorf(codes.ResourceExhausted,
			"there are %d streams on this connection already: open another connection", s.limit)
	}
	defer s.leave(connection)
	return handle(server, stream)
}

func (s *streams) enter(connection string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[connection] >= s.limit {
		return false
	}
	s.open[connection]++
	return true
}

func (s *streams) leave(connection string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[connection]--; s.open[connection] == 0 {
		delete(s.open, connection)
	}
}
