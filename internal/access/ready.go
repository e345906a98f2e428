package access

import (
	"errors"
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"
)

// readOnReady waits until a connection has something to read, and reads it into a
// buffer of the pool: so an idle connection holds no buffer. gRPC does this by
// itself for a *net.TCPConn, and asks connections that wrap others to do it.
func readOnReady(conn net.Conn, size int, pool mem.BufferPool) (*[]byte, int, error) {
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

// rawConn returns the descriptor below a connection, or nil if it has none.
func rawConn(conn net.Conn) syscall.RawConn {
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// readRaw takes a buffer each time that the descriptor may be read.
func readRaw(raw syscall.RawConn, size int, pool mem.BufferPool) (buf *[]byte, n int, err error) {
	closed := raw.Read(func(fd uintptr) bool {
		buf = pool.Get(size)
		n, err = readDescriptor(int(fd), *buf)
		if n <= 0 {
			pool.Put(buf)
			buf = nil
		}
		return !errors.Is(err, syscall.EAGAIN)
	})
	switch {
	case closed != nil:
		return nil, 0, closed
	case err != nil:
		return nil, 0, err
	case n == 0:
		return nil, 0, io.EOF
	}
	return buf, n, nil
}

// readDescriptor reads, again if a signal came first.
func readDescriptor(fd int, p []byte) (int, error) {
	for {
		if n, err := syscall.Read(fd, p); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
