package web

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

// askIn asks a server in a version of HTTP and returns the answer with its body.
func askIn(t *testing.T, address, version, path, headers string) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s %s\r\nHost: localhost\r\nConnection: close\r\n%s\r\n", path, version, headers)
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, body
}

// HTTP/1.0 has no end of a body but its length. Without it, an answer that was cut
// off looks whole.
func TestHTTP10AnswersHaveALength(t *testing.T) {
	l, _ := listingtest.Fleet(t, 10, 20_000, filestest.Same)
	h := newTestHandler(l)
	h.Also("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, strings.Repeat("metric 1\n", 10_000))
	}))
	server := httptest.NewServer(h)
	defer server.Close()
	address := server.Listener.Addr().String()
	for _, path := range []string{
		"/files", "/files?format=ndjson", "/files?format=text", "/files?format=nul", "/files?host=host-0003", "/files?limit=15000",
		"/files?fresh=1s", "/files?host=nobody", "/files?bogus", "/scouts", "/openapi.json", "/metrics", "/", "/healthz",
	} {
		for _, accept := range []string{"", "Accept-Encoding: gzip\r\n", "Accept-Encoding: zstd\r\n"} {
			_, want := askIn(t, address, "HTTP/1.1", path, accept)
			for range 3 { // made for this answer, and cached
				r, got := askIn(t, address, "HTTP/1.0", path, accept)
				if r.ContentLength != int64(len(got)) || !bytes.Equal(got, want) && path != "/scouts" {
					t.Errorf("%s %q: %d bytes with a length of %d, in HTTP/1.1 %d bytes", path, accept, len(got), r.ContentLength, len(want))
				}
			}
		}
	}
	for _, path := range []string{"/scouts", "/openapi.json", "/metrics"} {
		if r, _ := askIn(t, address, "HTTP/1.1", path, ""); r.ContentLength < 0 {
			t.Errorf("%s: no length in HTTP/1.1", path)
		}
	}
}
