package access

import (
	"net"

	"google.golang.org/grpc/mem"
)

// ReadOnReady reads what has come on a connection, once something has, into a
// buffer of the pool: so a connection on which nothing comes holds none. It is
// what gRPC asks of connections that wrap others, and does itself for a
// *net.TCPConn.
func ReadOnReady(conn net.Conn, size int, pool mem.BufferPool) (*[]byte, int, error) {
	if raw := rawConn(conn); raw != nil {
		return readRaw(raw, size, pool)
	}
	buf := pool.Get(size)
	n, err := conn.Read(*buf)
	if n == 0 {
		pool.Put(buf)
		return nil, 0, err
	}
	return buf, n, err
}
