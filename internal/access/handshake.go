package access

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc/credentials"
)

// handshakes are the credentials of a gRPC server over TLS that logs whom it
// refuses, and sees to it that they hear why.
type handshakes struct {
	credentials.TransportCredentials
	knocks *knocks
}

func newHandshakes(config *tls.Config, log *zap.Logger) credentials.TransportCredentials {
	return &handshakes{credentials.NewTLS(config), &knocks{log: log}}
}

// ServerHandshake implements [credentials.TransportCredentials].
func (h *handshakes) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	kept := &keptOpen{Conn: conn}
	kept.keep.Store(true)
	secure, info, err := h.TransportCredentials.ServerHandshake(kept)
	kept.keep.Store(false)
	if err == nil {
		return secure, info, nil
	}
	if !errors.Is(err, io.EOF) { // or somebody only looks whether the port is open
		h.knocks.note(conn.RemoteAddr(), err.Error())
		linger(conn)
	}
	conn.Close() //nolint:errcheck // it is unwanted
	return nil, nil, err
}

// keptOpen is a connection that a handshake cannot close while keep is set.
type keptOpen struct {
	net.Conn
	keep atomic.Bool
}

func (k *keptOpen) Close() error {
	if k.keep.Load() {
		return nil
	}
	return k.Conn.Close()
}

// Clone implements [credentials.TransportCredentials].
func (h *handshakes) Clone() credentials.TransportCredentials {
	return &handshakes{h.TransportCredentials.Clone(), h.knocks}
}

// linger gives the other side time to read what it was told before a close:
// with bytes left unread here, closing would take that back.
func linger(conn net.Conn) {
	if conn.SetReadDeadline(time.Now().Add(farewellTime)) != nil {
		return
	}
	io.Copy(io.Discard, conn) //nolint:errcheck // the deadline ends it
}
