package access

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
)

// countingPool counts the buffers that are in use.
type countingPool struct{ used atomic.Int32 }

func (p *countingPool) Get(n int) *[]byte {
	p.used.Add(1)
	b := make([]byte, n)
	return &b
}

func (p *countingPool) Put(*[]byte) { p.used.Add(-1) }

// pipe returns both ends of a connection through a Listener.
func pipe(t *testing.T) (server, client net.Conn) {
	t.Helper()
	raw, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Limit(raw, Limits{Address: 0}, zap.NewNop())
	t.Cleanup(func() { l.Close() })
	if client, err = new(net.Dialer).DialContext(t.Context(), "tcp", raw.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close(); client.Close() })
	return server, client
}

func TestReadOnReady(t *testing.T) {
	server, client := pipe(t)
	var pool countingPool
	for _, text := range []string{"before", "and after"} {
		if _, err := io.WriteString(client, text); err != nil {
			t.Fatal(err)
		}
		buf, n, err := readOnReady(server, 64, &pool)
		if err != nil || string((*buf)[:n]) != text {
			t.Fatalf("read %d bytes, error %v, want %q", n, err, text)
		}
		pool.Put(buf)
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	var late net.Error
	if _, _, err := readOnReady(server, 64, &pool); !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("with nothing to read in time: %v", err)
	}
	server.SetReadDeadline(time.Time{})
	client.Close()
	if _, _, err := readOnReady(server, 64, &pool); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v, want EOF", err)
	}
	server.Close()
	if _, _, err := readOnReady(server, 64, &pool); !errors.Is(err, net.ErrClosed) {
		t.Errorf("on a closed connection: %v", err)
	}
	if n := pool.used.Load(); n != 0 {
		t.Errorf("%d buffers are still in use", n)
	}
}
