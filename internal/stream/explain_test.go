package stream

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"scout/internal/access/accesstest"
	scoutv1 "scout/proto/scout/v1"
)

// What answers in the place of a scoutmaster may be a proxy with a TLS of its own.
func TestCuresOfForeignTLS(t *testing.T) {
	pair := accesstest.NewAuthority(t, "ca").Issue("localhost")
	certificate, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	for want, server := range map[string]*tls.Config{
		"TLS 1.3 is needed": {Certificates: []tls.Certificate{certificate}, MaxVersion: tls.VersionTLS12},
		"HTTP/2 over TLS":   {Certificates: []tls.Certificate{certificate}},
	} {
		l, err := tls.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				conn, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err == nil {
					_ = conn.(*tls.Conn).HandshakeContext(t.Context())
					_ = conn.Close()
				}
			}
		}()
		conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(
			&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13}))) // the certificate plays no part
		if err != nil {
			t.Fatal(err)
		}
		stream, err := scoutv1.NewScoutmasterServiceClient(conn).Session(t.Context())
		if err == nil {
			_, err = stream.Recv()
		}
		if err = explain("master", err); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		_ = conn.Close()
		_ = l.Close()
		<-ended
	}
}
