package master

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/zap"

	"scout/internal/files"
)

// shape makes the names of one scout of a fleet.
type shape func(scout, i int, r *rand.Rand) string

func apart(scout, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team-%03d/d%05d/file-%06d.dat", scout, i/100, i%100)
}

func same(_, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team/d%05d/file-%06d.dat", i/100, i%100)
}

func interleaved(_, _ int, r *rand.Rand) string {
	return fmt.Sprintf("team/d%05d/file-%09d.dat", r.IntN(10_000), r.IntN(1e9))
}

// fleetOf returns a Listing of so many entries, evenly of so many scouts.
func fleetOf(b *testing.B, scouts, entries int, name shape) *Listing {
	b.Helper()
	l := NewListing()
	r := rand.New(rand.NewPCG(1, 1))
	for s := range scouts {
		names := make([]string, entries/scouts)
		for i := range names {
			names[i] = name(s, i, r)
		}
		l.show(files.Origin{Host: fmt.Sprintf("host-%04d", s), Directory: "/srv/data"}, setOf(names...), nil)
	}
	if err := l.merge(); err != nil {
		b.Fatal(err)
	}
	return l
}

// sink is a response that is thrown away.
type sink struct{ n int64 }

func (s *sink) Header() http.Header         { return http.Header{} }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Write(p []byte) (int, error) { s.n += int64(len(p)); return len(p), nil }

func BenchmarkRender(b *testing.B) {
	for _, tc := range []struct {
		name   string
		scouts int
		shape  shape
	}{{"10 apart", 10, apart}, {"10 same", 10, same}, {"1000 interleaved", 1000, interleaved}} {
		b.Run(tc.name, func(b *testing.B) {
			v := fleetOf(b, tc.scouts, 1_000_000, tc.shape).Current()
			var s sink
			for b.Loop() {
				s.n = 0
				if err := writeJSON(&s, v, everything); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(s.n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Len), "ns/entry")
			b.ReportMetric(float64(v.main.Size())/float64(v.Len), "B/entry")
		})
	}
}

func BenchmarkChange(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := fleetOf(b, 10, n, same)
			s := l.show(originOf(1), setOf("x"), nil)
			if err := l.merge(); err != nil {
				b.Fatal(err)
			}
			add := files.Delta{Removed: setOf(), Added: setOf("team/d00005/x")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			b.ReportAllocs()
			for b.Loop() {
				if err := l.change(s, add); err != nil {
					b.Fatal(err)
				}
				if err := l.change(s, remove); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkServe is BenchmarkRender to a client over loopback.
func BenchmarkServe(b *testing.B) {
	l := fleetOf(b, 10, 1_000_000, same)
	server := httptest.NewServer(NewHandler(l, alwaysReady, zap.NewNop()))
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
	for name, shape := range map[string]shape{"apart": apart, "same": same, "interleaved": interleaved} {
		b.Run(name, func(b *testing.B) {
			v := fleetOf(b, 10, 1_000_000, shape).Current()
			var s sink
			for b.Loop() {
				s.n = 0
				for _, l := range v.main.Leaves() {
					if _, err := writeLeaf(&s, v, l); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.SetBytes(s.n)
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Len), "ns/entry")
		})
	}
}
