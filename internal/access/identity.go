package access

import (
	"crypto/x509"
	"slices"
	"strings"
)

// identity is the names under which somebody was let in, such as
// "cert:web-01.example" and "token:web". Empty: as anybody.
type identity []string

func (id identity) String() string { return strings.Join(id, ", ") }

// certificateNames are the names that an authority vouched for: the common
// name, and the alternative ones.
func certificateNames(c *x509.Certificate) (id identity) {
	add := func(name string) {
		if name != "" && !slices.Contains(id, "cert:"+name) {
			id = append(id, "cert:"+name)
		}
	}
	add(c.Subject.CommonName)
	for _, name := range c.DNSNames {
		add(name)
	}
	for _, ip := range c.IPAddresses {
		add(ip.String())
	}
	for _, uri := range c.URIs {
		add(uri.String())
	}
	for _, address := range c.EmailAddresses {
		add(address)
	}
	return id
}
