package access

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/access/accesstest"
)

// A rejected peer receives the reason, even if it goes on sending, as a client of
// HTTP/2 does.
func TestRefusedHandshakeIsHeard(t *testing.T) {
	ca := accesstest.NewAuthority(t, "ca")
	pair := ca.Issue("localhost")
	log, logs := observed()
	gate, err := NewGate(Files{Cert: pair.Cert, Key: pair.Key, ClientCA: ca.File}, log)
	must(t, err)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := Limit(inner, Limits{}, zap.NewNop())
	defer l.Close()
	pool, err := readAuthorities(ca.File)
	must(t, err)
	credentials := gate.ScoutCredentials()
	for range 20 {
		refused := make(chan error, 1)
		go func() {
			conn, err := l.Accept()
			if err == nil {
				_, _, err = credentials.ServerHandshake(conn)
			}
			refused <- err
		}()
		c, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{"h2"}})
		must(t, err)
		for range 10 {
			_, err = c.Write([]byte("PRI * HTTP/2.0"))
			must(t, err)
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err = io.ReadAll(c); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Fatalf("it heard %v", err)
		}
		c.Close()
		if err := <-refused; err == nil {
			t.Fatal("it was let in")
		}
	}
	if got := logs.FilterMessage("peer refused").Len(); got == 0 || got > 10 {
		t.Errorf("logged %d times", got)
	}
}
