package hostport

import "testing"

func TestParseListen(t *testing.T) {
	for s, want := range map[string]string{
		"3000":          "127.0.0.1:3000",
		"0":             "127.0.0.1:0",
		"65535":         "127.0.0.1:65535",
		":3000":         ":3000",
		"0.0.0.0:3000":  "0.0.0.0:3000",
		"localhost:1":   "localhost:1",
		"[::1]:3000":    "[::1]:3000",
		"[fe80::1%a]:1": "[fe80::1%a]:1",
		"web-01.a:3000": "web-01.a:3000",
	} {
		if got, err := ParseListen(s); got != want || err != nil {
			t.Errorf("%s: got %q, %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "65536", "70000", "-1", "+1", "01", "1e3", " 3000", "3000 ", "http", ":http", "web", "web:", "::1", "::1:3000",
		"[::1]", "[web:1]:1", "http://web:3000", "web/a:3000", "a b:1", "1.2.3.4:99999", "web:3000:3001", "\x00:1",
	} {
		if got, err := ParseListen(s); err == nil {
			t.Errorf("%q is %q", s, got)
		}
	}
}

func TestParseDial(t *testing.T) {
	for s, want := range map[string]string{"web-01:3000": "web-01:3000", "3000": "127.0.0.1:3000", "[::1]:1": "[::1]:1"} {
		if got, err := ParseDial(s); got != want || err != nil {
			t.Errorf("%s: got %q, %v", s, got, err)
		}
	}
	for s, want := range map[string]string{
		"web:0": `"web:0" is not host:port with a port of 1-65535`,
		"0":     `"0" is not host:port with a port of 1-65535`,
		"web":   `"web" is not host:port with a port of 1-65535`,
		":3000": `":3000" names no host: give localhost:3000 or another host`,
	} {
		if got, err := ParseDial(s); err == nil || err.Error() != want {
			t.Errorf("%s: got %q, %v", s, got, err)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true, "localhost:1": true, "LocalHost:1": true, "localhost.:1": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "web:1": false, "localhost.example:1": false,
		"127.0.0.1": false, "": false, "127.0.0.1.example:1": false,
	} {
		if got := IsLoopback(address); got != want {
			t.Errorf("%s: %t", address, got)
		}
	}
}
