package hostport

import (
	"os"
	"strings"
	"testing"
)

func TestLocalNames(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	n := LocalNames("Proxy.Example")
	for header, want := range map[string]bool{
		"": true, "localhost": true, "LOCALHOST:3001": true, "localhost.": true, "app.localhost:1": true,
		"127.0.0.1": true, "127.1.2.3:3001": true, "[::1]:3001": true, "[::1]": true, "::1": true, "[::ffff:127.0.0.1]:1": true,
		host: true, strings.ToUpper(host) + ":3001": true, "proxy.example:80": true,
		"rebind.example": false, "rebind.example:3001": false, "127.0.0.1.example": false, "localhost.example": false,
		"notlocalhost": false, "203.0.113.1": false, "[2001:db8::1]:1": false, "x.proxy.example": false, ":": true,
	} {
		if got := n.Contain(header); got != want {
			t.Errorf("%q: %t", header, got)
		}
	}
}
