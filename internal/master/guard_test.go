package master

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"go.uber.org/zap"

	"scout/internal/files"
)

// cost returns what one run of f allocates: that does not depend on how fast
// the machine is, so it can be held to a bound anywhere.
func cost(f func()) (allocs, bytes float64) {
	const runs = 5
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // nobody else allocates meanwhile
	f()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, float64(after.TotalAlloc-before.TotalAlloc) / runs
}

// alikeFleet returns a Listing of some scouts that have the same names, merged.
func alikeFleet(t *testing.T, scouts, each int) (l *Listing, first *source) {
	t.Helper()
	var b files.Builder
	var name []byte
	for i := range each {
		name = fmt.Appendf(name[:0], "some/directory/d%05d/file-%06d.txt", i/100, i%100)
		b.Add(name)
	}
	set := b.Set()
	l = NewListing()
	for i := range scouts {
		s := l.show(originOf(i), set, nil)
		if i == 0 {
			first = s
		}
	}
	if err := l.merge(); err != nil {
		t.Fatal(err)
	}
	return l, first
}

func TestCostOfOneChange(t *testing.T) {
	l, s := alikeFleet(t, 10, 100_000)
	add := files.Delta{Removed: setOf(), Added: setOf("some/directory/d00300/new")}
	remove := files.Delta{Removed: add.Added, Added: add.Removed}
	allocs, bytes := cost(func() {
		for _, d := range []files.Delta{add, remove} {
			if err := l.change(s, d); err != nil {
				t.Fatal(err)
			}
		}
	})
	if allocs > 2*100 || bytes > 2*128<<10 {
		t.Errorf("two changes among a million entries allocate %.0f times, %.0f bytes", allocs, bytes)
	}
}

// void is a response that nobody reads.
type void struct{ header http.Header }

func (v void) Header() http.Header         { return v.header }
func (v void) WriteHeader(int)             {}
func (v void) Write(p []byte) (int, error) { return len(p), nil }

func TestCostOfAnAnswer(t *testing.T) {
	l, _ := alikeFleet(t, 10, 10_000)
	h := NewHandler(l, func() error { return nil }, zap.NewNop())
	for _, tc := range []struct {
		target, encoding string
		allocs, bytes    float64
	}{
		{"/files", "", 1000, 2 << 20},
		{"/files", "gzip", 1000, 2 << 20},
		{"/files?prefix=some/directory/d00050/", "", 200, 1 << 20},
	} {
		r := httptest.NewRequest(http.MethodGet, tc.target, nil)
		r.Header.Set("Accept-Encoding", tc.encoding)
		allocs, bytes := cost(func() { h.ServeHTTP(void{http.Header{}}, r) })
		if allocs > tc.allocs || bytes > tc.bytes {
			t.Errorf("%s %s of 100,000 entries allocates %.0f times, %.0f bytes", tc.target, tc.encoding, allocs, bytes)
		}
	}
}
