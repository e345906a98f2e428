package web

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

// BenchmarkWatchers is one change of a list of 100,000 until all who watch it
// have been told, over loopback: what it costs in all, for how long its writer is
// held up, when the first and the last reader have it, and what memory a reader
// costs, its own end included.
func BenchmarkWatchers(b *testing.B) {
	for _, readers := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			l, sources := listingtest.Fleet(b, 10, 100_000, filestest.Same)
			server := httptest.NewServer(NewHandler(l, nobody{l}, func() error { return nil }, Options{Watchers: readers}, zap.NewNop()))
			defer server.CloseClientConnections()
			before := memory()
			var told sync.WaitGroup
			moments := make([]time.Time, readers)
			told.Add(readers)
			for i := range readers {
				in := openEvents(b, server.Listener.Addr().String(), "/files?format=events&host=host-0000&prefix=team/d00005/")
				go func() {
					for {
						line, err := in.ReadSlice('\n')
						if err != nil {
							return
						}
						if bytes.HasPrefix(line, []byte("data:")) {
							moments[i] = time.Now()
							told.Done()
						}
					}
				}()
			}
			told.Wait() // the list
			each := float64(memory()-before) / float64(readers)
			add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("team/d00005/x")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			deltas := []files.Delta{add, remove}
			var writer, first, last []time.Duration
			for i := 0; b.Loop(); i++ {
				told.Add(readers)
				began := time.Now()
				if _, err := l.Change(sources[0], deltas[i%2]); err != nil {
					b.Fatal(err)
				}
				writer = append(writer, time.Since(began))
				told.Wait()
				first = append(first, slices.MinFunc(moments, time.Time.Compare).Sub(began))
				last = append(last, slices.MaxFunc(moments, time.Time.Compare).Sub(began))
			}
			b.ReportMetric(median(writer), "writer-µs")
			b.ReportMetric(median(first), "first-µs")
			b.ReportMetric(median(last), "last-µs")
			b.ReportMetric(each/1024, "KiB/reader")
		})
	}
}

// openEvents asks for a path by hand, for a client library costs as much as the
// server.
func openEvents(b *testing.B, address, path string) *bufio.Reader {
	b.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return bufio.NewReaderSize(conn, 16<<10)
}

func memory() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// median returns it in microseconds.
func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2].Nanoseconds()) / 1000
}
