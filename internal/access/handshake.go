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

// handshakes are TLS credentials of a gRPC server. They log rejected peers, and give
// them time to receive the reason.
type handshakes struct {
	credentials.TransportCredentials
	rejected rejected
}

func newHandshakes(config *tls.Config, log *zap.Logger) credentials.TransportCredentials {
	return &handshakes{credentials.NewTLS(config), newRejected(log, "peer refused")}
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
	if !errors.Is(err, io.EOF) { // a probe of the port only closes the connection
		h.rejected.notePeer(conn.RemoteAddr(), err.Error())
		linger(conn)
	}
	conn.Close() //nolint:errcheck // it is rejected
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
	return &handshakes{h.TransportCredentials.Clone(), h.rejected}
}

// linger gives the peer time to receive the TLS alert. Closing a connection with
// unread bytes would discard the alert.
func linger(conn net.Conn) {
	if conn.SetReadDeadline(time.Now().Add(refusalTime)) != nil {
		return
	}
	io.Copy(io.Discard, conn) //nolint:errcheck // the deadline ends it
}
