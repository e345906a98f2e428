package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/mem"

	"scout/internal/access"
)

// Of the files that the process may open, consumers' connections get one in so
// many, and as much is left for everything else; the scouts' get the rest. So
// neither can shut the other out.
const (
	httpShare = 8
	mostHTTP  = 4096
)

// capacity is how many connections each listener may have open.
type capacity struct{ grpc, http int }

// newCapacity shares out so many files.
func newCapacity(files int) capacity {
	share := max(1, min(files/httpShare, mostHTTP))
	return capacity{grpc: max(1, files-2*share), http: share}
}

// refusalEvery is how often refused connections are logged.
const refusalEvery = 10 * time.Second

// bounded is a listener with a bound on the connections that are open. What is
// beyond it is closed at once, so that the peer learns of it and tries again,
// rather than waiting for the system to have room.
type bounded struct {
	net.Listener
	log  *zap.Logger
	most int
	open atomic.Int64

	refused int       // since that was logged
	logged  time.Time // when
}

// bound bounds a listener. The log says which one it is.
func bound(l net.Listener, most int, log *zap.Logger) *bounded {
	return &bounded{Listener: l, most: most, log: log}
}

// Accept waits for a connection that there is room for. One goroutine calls it.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if b.open.Add(1) <= int64(b.most) {
			return &counted{Conn: conn, release: sync.OnceFunc(func() { b.open.Add(-1) })}, nil
		}
		b.open.Add(-1)
		conn.Close() //nolint:errcheck // it is not wanted any more
		b.refuse()
	}
}

// refuse logs a refused connection, and of many only how many.
func (b *bounded) refuse() {
	b.refused++
	if time.Since(b.logged) < refusalEvery {
		return
	}
	b.log.Warn("connections refused", zap.Int("refused", b.refused), zap.Int("limit", b.most),
		zap.String("raise", "the limit of open files (ulimit -n, or LimitNOFILE= of the service)"))
	b.refused, b.logged = 0, time.Now()
}

// counted is a connection that counts while it is open.
type counted struct {
	net.Conn
	release func()
}

func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// ReadOnReady is how gRPC reads without a buffer for each connection.
func (c *counted) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	return access.ReadOnReady(c.Conn, size, pool)
}
