//go:build unix

package access

import (
	"errors"
	"io"
	"net"
	"syscall"

	"google.golang.org/grpc/mem"
)

// rawConn is the file below a connection; nil when it has none.
func rawConn(conn net.Conn) syscall.RawConn {
	if c, ok := conn.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}

// readRaw takes a buffer each time that the file may be read.
func readRaw(raw syscall.RawConn, size int, pool mem.BufferPool) (buf *[]byte, n int, err error) {
	closed := raw.Read(func(fd uintptr) bool {
		buf = pool.Get(size)
		n, err = readFile(int(fd), *buf)
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

// readFile reads, again when a signal came first.
func readFile(fd int, p []byte) (int, error) {
	for {
		if n, err := syscall.Read(fd, p); !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
