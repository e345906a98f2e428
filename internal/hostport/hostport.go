// Package hostport parses network addresses as users write them. It opens no
// connections and resolves no names.
package hostport

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

const loopback = "127.0.0.1"

// ParseListen parses the address of a listener: a port, which only this machine
// can reach, or host:port. An empty host means every interface. Port 0 means
// any free port.
func ParseListen(s string) (string, error) {
	if isPort(s) {
		return net.JoinHostPort(loopback, s), nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) || !isHost(host) {
		return "", fmt.Errorf("%q is not a port (0-65535) or host:port", s)
	}
	return net.JoinHostPort(host, port), nil
}

// ParseDial parses the address of a server: host:port, or the port alone of a
// server on this machine.
func ParseDial(s string) (string, error) {
	address, err := ParseListen(s)
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
// address, which may have a zone, or a name. A URL is not a host.
func isHost(s string) bool {
	if strings.Contains(s, ":") {
		_, err := netip.ParseAddr(s)
		return err == nil
	}
	return !strings.ContainsAny(s, "/@?#[]% \t\r\n\x00")
}

// IsLoopback reports whether only this machine can reach the address host:port.
// Every name but localhost counts as reachable from other machines, whatever
// it resolves to.
func IsLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
