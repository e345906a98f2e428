package web

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
	"scout/internal/render"
)

// sink is a response that is thrown away.
type sink struct{ n int64 }

func (s *sink) Header() http.Header         { return http.Header{} }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }

// BenchmarkServe answers a client over loopback.
func BenchmarkServe(b *testing.B) {
	l, _ := listingtest.Fleet(b, 10, 1_000_000, filestest.Same)
	server := httptest.NewServer(newTestHandler(l))
	defer server.Close()
	buf := make([]byte, 1<<20)
	for b.Loop() {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		fmt.Fprintf(conn, "GET /files HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		n := int64(0)
		for {
			k, err := conn.Read(buf)
			n += int64(k)
			if err != nil {
				break
			}
		}
		b.SetBytes(n)
		conn.Close()
	}
}

// BenchmarkQuery answers queries about a million entries of a hundred scouts.
func BenchmarkQuery(b *testing.B) {
	fleets := map[string]*listing.Listing{}
	for name, shape := range map[string]filestest.Shape{"apart": filestest.Apart, "interleaved": filestest.Interleaved} {
		fleets[name], _ = listingtest.Fleet(b, 100, 1_000_000, shape)
	}
	for _, raw := range []string{
		"host=host-0042", "prefix=team", "match=**/*.dat", "match=**/nothing", "match=team-042/**", "limit=1000",
		"format=ndjson", "format=text", "format=nul", "limit=400&offset=999000", "limit=400&from=team-09", "limit=1&match=**/*.dat&count=true", "match=**/*nothing*&ignore_case=true",
	} {
		p, refused := newPlan(raw, http.Header{}, render.AnyFormat)
		if refused != nil {
			b.Fatal(refused.detail)
		}
		for name, l := range fleets {
			b.Run(raw+" "+name, func(b *testing.B) {
				a, r := &answer{plan: p, version: l.Current()}, render.New()
				for b.Loop() {
					var s sink
					if a.findNextPage(); !a.countAll() || r.Write(&s, a.list()) != nil {
						b.Fatal("an error")
					}
				}
			})
		}
	}
}
