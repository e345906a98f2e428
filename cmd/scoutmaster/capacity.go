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

// Of the files that the process may open, consumers' connections may have
// 1/httpShare, and as many are reserved for everything else. Scouts' connections
// may have the rest. So neither can shut out the other.
const (
	httpShare = 8
	maxHTTP   = 4096
)

// capacity is how many connections each listener may have open.
type capacity struct{ grpc, http int }

// newCapacity divides a number of open files.
func newCapacity(files int) capacity {
	share := max(1, min(files/httpShare, maxHTTP))
	return capacity{grpc: max(1, files-2*share), http: share}
}

// refusalEvery is the least time between two lines about refused connections.
const refusalEvery = 10 * time.Second

// bounded is a listener with a bound on its open connections. It closes further
// ones at once, so that the peer learns of it and tries again, instead of waiting
// in the system's queue.
type bounded struct {
	net.Listener
	log  *zap.Logger
	most int
	open atomic.Int64

	refused int       // since that was logged
	logged  time.Time // when
}

// bound bounds a listener. The log names it.
func bound(l net.Listener, most int, log *zap.Logger) *bounded {
	return &bounded{Listener: l, most: most, log: log}
}

// Accept returns the next connection within the bound. One goroutine calls it.
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
		conn.Close() //nolint:errcheck // nobody uses it
		b.refuse()
	}
}

// refuse logs refused connections, at most one line each refusalEvery.
func (b *bounded) refuse() {
	b.refused++
	if time.Since(b.logged) < refusalEvery {
		return
	}
	b.log.Warn("connections refused", zap.Int("refused", b.refused), zap.Int("limit", b.most),
		zap.String("raise", "the limit of open files (ulimit -n, or LimitNOFILE= of the service)"))
	b.refused, b.logged = 0, time.Now()
}

// counted is a connection that counts as open until it is closed.
type counted struct {
	net.Conn
	release func()
}

func (c *counted) Close() error {
	defer c.release()
	return c.Conn.Close()
}

// ReadOnReady lets gRPC read without a buffer for each idle connection.
func (c *counted) ReadOnReady(size int, pool mem.BufferPool) (*[]byte, int, error) {
	return access.ReadOnReady(c.Conn, size, pool)
}
