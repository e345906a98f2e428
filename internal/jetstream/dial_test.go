package jetstream

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestIdleTimeout reads from an end that sends, is silent, and sends again too late.
func TestIdleTimeout(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := new(dialer).Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	buf := make([]byte, 1)

	setDeadline(t, conn, time.Now().Add(50*time.Millisecond))
	if _, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("with a deadline of the caller's a read ends with %v", err)
	}
	setDeadline(t, conn, time.Time{})
	began := time.Now()
	for time.Since(began) < idleTimeout*5/4 { // a byte now and then
		if _, err := far.Write(buf); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(buf); err != nil {
			t.Fatalf("after %s of talk: %v", time.Since(began), err)
		}
		time.Sleep(idleTimeout / 4)
	}
	began = time.Now()
	if _, err := conn.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("after a silence a read ends with %v", err)
	}
	if took := time.Since(began); took < idleTimeout {
		t.Errorf("the silence lasted %s, want %s", took, idleTimeout)
	}
}

// TestIdleTimeoutAfterADeadline takes the caller's deadline away while a read waits.
func TestIdleTimeoutAfterADeadline(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	conn := &idleTimeoutConn{Conn: near}
	setDeadline(t, conn, time.Now().Add(time.Hour))
	read := make(chan error, 1)
	go func() {
		_, err := conn.Read(make([]byte, 1))
		read <- err
	}()
	time.Sleep(10 * time.Millisecond)
	setDeadline(t, conn, time.Time{})
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the read that began before ends with %v", err)
	}
}

// TestResetOverTLS explains a connection that a server ends because it wants a
// certificate. Whether the alert that says so arrives before the end is a matter of luck.
func TestResetOverTLS(t *testing.T) {
	reset := &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
	for ca, want := range map[string]string{"": "start nats-server", "ca.pem": "-nats-cert"} {
		c := &Conn{options: Options{URLs: []string{"127.0.0.1:4222"}, CA: ca}}
		if text := c.explain(reset).Error(); !strings.Contains(text, want) || !strings.Contains(text, "connection reset") {
			t.Errorf("with the authorities %q the error is %q, want %q in it", ca, text, want)
		}
	}
}

func setDeadline(t *testing.T, conn net.Conn, at time.Time) {
	t.Helper()
	if err := conn.SetDeadline(at); err != nil {
		t.Fatal(err)
	}
}
