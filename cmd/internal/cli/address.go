package cli

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const loopback = "127.0.0.1"

// ListenAddress parses where to listen: a port, which is then open to this
// machine only, or host:port, where no host means every interface. Port 0 is
// any that is free.
func ListenAddress(s string) (string, error) {
	if isPort(s) {
		return net.JoinHostPort(loopback, s), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) || !isHost(host) {
		return "", fmt.Errorf("%q is not a port (0-65535) or host:port", s)
	}
	return net.JoinHostPort(host, port), nil
}

// DialAddress parses where to connect: host:port, or the port alone of a
// program on this machine.
func DialAddress(s string) (string, error) {
	address, err := ListenAddress(s)
	if err != nil || strings.HasSuffix(address, ":0") {
		return "", fmt.Errorf("%q is not host:port with a port of 1-65535", s)
	}
	if strings.HasPrefix(address, ":") {
		return "", fmt.Errorf("%q names no host: give localhost%s or another host", s, address)
	}
	return address, nil
}

// isPort is stricter than strconv: no sign, no leading zeros.
func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// isHost reports whether s can be the host of an address: nothing, an IP
// address, or what may be a name. A URL, say, is none.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return !strings.ContainsAny(s, "/@?#[]% \t\r\n\x00")
}

// IsLoopback reports whether only this machine can reach the address, which
// is host:port. A name other than localhost is taken to be reachable by
// others, whatever it resolves to at the moment.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// CheckListen refuses a listener beyond loopback, which has no TLS, unless
// insecure. The error names the flag and says what to do.
func CheckListen(flag, address string, insecure bool) error {
	return checkListen(flag, address, insecure, "")
}

// CheckListenTLS is CheckListen for a listener that may be encrypted, by -tls-cert
// and -tls-key.
func CheckListenTLS(flag, address string, encrypted, insecure bool) error {
	return checkListen(flag, address, encrypted || insecure, "add -tls-cert and -tls-key, ")
}

func checkListen(flag, address string, allowed bool, cure string) error {
	if allowed || IsLoopback(address) {
		return nil
	}
	return errors.New("flag -" + flag + ": " + address + " can be reached from other machines and is not encrypted: " +
		"give the port alone to serve this machine only, " + cure + "or add -insecure if you trust the network")
}

// CheckDial refuses a connection beyond loopback unless that is allowed: by TLS,
// or for want of it. The error names the flag and says what to do.
func CheckDial(flag, address string, allowed bool) error {
	if allowed || IsLoopback(address) {
		return nil
	}
	return errors.New("flag -" + flag + ": " + address + " is beyond this machine and the connection is not encrypted: " +
		"add -tls-ca, use a tunnel that ends on this machine, or add -insecure if you trust the network")
}
