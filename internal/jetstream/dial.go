package jetstream

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"time"
)

const (
	// pingInterval is how often a server is made to send something.
	pingInterval = time.Second
	// idleTimeout is after how long without a byte a connection is dead: less than it
	// takes the other servers to elect a leader, which is at least 4 s. Otherwise the log
	// would go on without this scoutmaster, which others would take for lost.
	idleTimeout = 3 * time.Second
	// hostTimeout is for each of the addresses that a name stands for.
	hostTimeout = 2 * time.Second
	// thawTime is how long to wait, after a timeout, for bytes that arrived while this
	// process was frozen.
	thawTime = 100 * time.Millisecond
)

// dialer makes connections with an idle timeout. The client library has its own check:
// it ends a connection when answers to its pings are late. But on a connection that is
// full, answers wait behind entries. A scoutmaster that lags would then connect again and
// again, and never report that it lags.
type dialer struct{ net.Dialer }

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return &idleTimeoutConn{Conn: conn}, nil
}

// idleTimeoutConn is a connection whose Read fails when nothing has arrived for
// idleTimeout, unless the caller has set a deadline.
type idleTimeoutConn struct {
	net.Conn
	limited atomic.Bool // the caller has set a deadline
}

// SetDeadline sets the caller's deadline, or takes it away, perhaps while another
// goroutine reads already.
func (c *idleTimeoutConn) SetDeadline(at time.Time) error {
	c.limited.Store(!at.IsZero())
	if err := c.Conn.SetDeadline(at); err != nil || !at.IsZero() {
		return err
	}
	return c.SetReadDeadline(time.Now().Add(idleTimeout))
}

func (c *idleTimeoutConn) Read(p []byte) (int, error) {
	if c.limited.Load() {
		return c.Conn.Read(p)
	}
	n, err := c.readWithin(idleTimeout, p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.readWithin(thawTime, p)
	}
	return n, err
}

func (c *idleTimeoutConn) readWithin(limit time.Duration, p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
