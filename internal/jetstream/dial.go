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
	// silence is after how long without a byte a connection is dead: less than it takes
	// the other servers to elect a leader, which is at least 4 s. Otherwise the log would
	// go on without this scoutmaster, which others would take for lost.
	silence = 3 * time.Second
	// hostTimeout is for each of the addresses that a name stands for.
	hostTimeout = 2 * time.Second
	// thawTime is for what has come while this process did not run.
	thawTime = 100 * time.Millisecond
)

// dialer makes connections that end when the server has been silent for too long. The
// client library ends those whose answers to its pings are late, which is no less true of
// a connection that is full: the scoutmaster would connect again and again in place of
// saying that it lags.
type dialer struct{ net.Dialer }

func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return &audible{Conn: conn}, nil
}

// audible is a connection that ends when nothing is heard from the other end.
type audible struct {
	net.Conn
	limited atomic.Bool // by a deadline of the caller's
}

// SetDeadline sets the caller's deadline, or takes it away, perhaps while another
// goroutine reads already.
func (c *audible) SetDeadline(at time.Time) error {
	c.limited.Store(!at.IsZero())
	if err := c.Conn.SetDeadline(at); err != nil || !at.IsZero() {
		return err
	}
	return c.SetReadDeadline(time.Now().Add(silence))
}

func (c *audible) Read(p []byte) (int, error) {
	if c.limited.Load() {
		return c.Conn.Read(p)
	}
	n, err := c.readWithin(silence, p)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		return c.readWithin(thawTime, p)
	}
	return n, err
}

func (c *audible) readWithin(limit time.Duration, p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}
