package web

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"scout/internal/alloctest"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing/listingtest"
)

// void is a response that nobody reads.
type void struct{ header http.Header }

func (v void) Header() http.Header         { return v.header }
func (v void) WriteHeader(int)             {}
func (v void) Write(p []byte) (int, error) { return len(p), nil }

// With the race detector a pool drops some of what it is given, so that each
// answer may need a new buffer.
func TestCostOfAnAnswer(t *testing.T) {
	l, _ := listingtest.Fleet(t, 10, 100_000, filestest.Same)
	h := newTestHandler(l)
	for _, tc := range []struct {
		target, encoding string
		allocs, bytes    float64
	}{
		{"/files", "", 1000, 2 << 20},
		{"/files", "gzip", 1000, 2 << 20},
		{"/files", "zstd", 1000, 2 << 20},
		{"/files?prefix=team/d00050/", "", 100, 512 << 10},
		{"/files?limit=10&format=text", "", 100, 512 << 10},
		{"/files?match=**/nothing", "", 100, 512 << 10},
		{"/files?match=**/*NOTHING*&ignore_case=true&count=true", "", 100, 512 << 10},
	} {
		r := httptest.NewRequest(http.MethodGet, tc.target, nil)
		r.Header.Set("Accept-Encoding", tc.encoding)
		ask := func() { h.ServeHTTP(void{http.Header{}}, r) }
		ask() // segments are cached
		allocs, bytes := alloctest.Cost(ask)
		if allocs > tc.allocs || bytes > tc.bytes {
			t.Errorf("%s %s of 100,000 entries allocates %.0f times, %.0f bytes", tc.target, tc.encoding, allocs, bytes)
		}
	}
}

// What is rendered anew each time leaves no garbage behind.
func TestCostOfAnAnswerAfterAChange(t *testing.T) {
	l, sources := listingtest.Fleet(t, 10, 10_000, filestest.Same)
	h := newTestHandler(l)
	r := httptest.NewRequest(http.MethodGet, "/files", nil)
	some, none := filestest.Set("new"), filestest.Set()
	allocs, bytes := alloctest.Cost(func() {
		for _, d := range []files.Delta{{Removed: none, Added: some}, {Removed: some, Added: none}} {
			if _, err := l.Change(sources[3], d); err != nil {
				t.Fatal(err)
			}
			h.ServeHTTP(void{http.Header{}}, r)
		}
	})
	if allocs > 200 || bytes > 1<<20 {
		t.Errorf("a change and an answer allocate %.0f times, %.0f bytes, two by two", allocs, bytes)
	}
}
