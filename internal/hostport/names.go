package hostport

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Names are the names under which a listener on loopback answers. A web page can
// make its own name resolve to 127.0.0.1 and then read the answers of every
// local server that does not look at the Host header.
//
// These names always belong: localhost and names below it, loopback addresses,
// and the name and addresses of this machine.
type Names struct {
	names []string // lower case
}

// LocalNames returns the names that always belong, and more.
func LocalNames(more ...string) Names {
	n := Names{[]string{"localhost", "ip6-localhost", "ip6-loopback"}}
	if host, err := os.Hostname(); err == nil {
		short, _, _ := strings.Cut(host, ".")
		more = append([]string{host, short}, more...)
	}
	for _, name := range more {
		n.names = append(n.names, normalize(name))
	}
	return n
}

// Contain reports whether a request's Host header, with or without a port, has
// one of the names. A request without a Host does not come from a web page.
func (n Names) Contain(header string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = normalize(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"))
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || isOwn(ip)
	}
	return host == "" || slices.Contains(n.names, host) || strings.HasSuffix(host, ".localhost")
}

func normalize(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

// isOwn reports whether an interface of this machine has the address.
func isOwn(ip netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	return err == nil && slices.ContainsFunc(addrs, func(a net.Addr) bool {
		prefix, err := netip.ParsePrefix(a.String())
		return err == nil && prefix.Addr() == ip.WithZone("").Unmap()
	})
}
