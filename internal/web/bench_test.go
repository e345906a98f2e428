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
)

// sink is a response that is thrown away.
type sink struct{ n int64 }

func (s *sink) Header() http.Header         { return http.Header{} }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }

func BenchmarkRender(b *testing.B) {
	for _, tc := range []struct {
		name   string
		scouts int
		shape  filestest.Shape
	}{{"10 apart", 10, filestest.Apart}, {"10 same", 10, filestest.Same}, {"1000 interleaved", 1000, filestest.Interleaved}} {
		b.Run(tc.name, func(b *testing.B) {
			l, _ := listingtest.Fleet(b, tc.scouts, 1_000_000, tc.shape)
			v, r := l.Current(), newRenderer()
			var s sink
			for b.Loop() {
				s.n = 0
				if err := r.write(&s, asked(v, everything, formatJSON, identity)); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(s.n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Len), "ns/entry")
		})
	}
}

// BenchmarkServe is BenchmarkRender to a client over loopback.
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

// BenchmarkRenderLeaf renders without keeping anything.
func BenchmarkRenderLeaf(b *testing.B) {
	for name, shape := range map[string]filestest.Shape{"apart": filestest.Apart, "same": filestest.Same, "interleaved": filestest.Interleaved} {
		b.Run(name, func(b *testing.B) {
			l, _ := listingtest.Fleet(b, 10, 1_000_000, shape)
			v := l.Current()
			var s sink
			for b.Loop() {
				s.n = 0
				for _, l := range v.Leaves() {
					if err := writeLeaf(&s, v, l, formatJSON); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.SetBytes(s.n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Len), "ns/entry")
		})
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
		"format=ndjson", "format=text", "format=nul",
	} {
		q, err := parseQuery(raw)
		if err != nil {
			b.Fatal(err)
		}
		for name, l := range fleets {
			b.Run(raw+" "+name, func(b *testing.B) {
				a, r := asked(l.Current(), q, max(q.format, formatJSON), identity), newRenderer()
				for b.Loop() {
					var s sink
					if a.turn(); r.write(&s, a) != nil {
						b.Fatal("an error")
					}
				}
			})
		}
	}
}
