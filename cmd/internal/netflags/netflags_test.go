package netflags

import (
	"net"
	"strings"
	"testing"
)

func TestPlaintextBeyondLoopback(t *testing.T) {
	listen := func(address string, allowed bool) error { return CheckListen("grpc", address, allowed, "-tls-cert") }
	dial := func(address string, allowed bool) error { return CheckDial("grpc", address, allowed) }
	secret := func(address string, allowed bool) error {
		return CheckSecret("grpc", "file", address, allowed, "no -insecure")
	}
	for name, check := range map[string]func(address string, allowed bool) error{"listen": listen, "dial": dial, "secret": secret} {
		if err := check("127.0.0.1:1", false); err != nil {
			t.Error(name, err)
		}
		if err := check("10.0.0.1:1", true); err != nil {
			t.Error(name, err)
		}
		err := check("10.0.0.1:1", false)
		if err == nil || !strings.HasPrefix(err.Error(), "flag -grpc: ") || !strings.Contains(err.Error(), "10.0.0.1:1") || !strings.Contains(err.Error(), "-insecure") {
			t.Error(name, err)
		}
	}
	if err := CheckSecret("grpc", "", "10.0.0.1:1", false, ""); err != nil {
		t.Error("without a token:", err)
	}
}

func TestListen(t *testing.T) {
	l, err := Listen(t.Context(), "grpc", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for address, want := range map[string]string{
		l.Addr().String(): "is in use by another program",
		"203.0.113.1:1":   "choose an address of this machine",
	} {
		var listener net.Listener
		if listener, err = Listen(t.Context(), "grpc", address); err == nil || !strings.HasPrefix(err.Error(), "flag -grpc: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", address, listener, err)
		}
	}
}
