package web

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"scout/internal/alloctest"
)

// notes is a Recorder that remembers.
type notes struct {
	begun   int
	answers []Answer
}

func (n *notes) Began()            { n.begun++ }
func (n *notes) Answered(a Answer) { n.answers = append(n.answers, a) }

func TestObserve(t *testing.T) {
	h := newTestHandler(sample())
	h.Also("/metrics", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "1\n") }))
	h.route("/watch", func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			t.Error(err)
		}
	})
	n := new(notes)
	o := Observe(h, n)
	length := int64(len(body(t, get(t, h, "GET", "/files"))))
	var got []Answer
	for _, r := range [][2]string{
		{"GET", "/files"},
		{"HEAD", "/files?prefix=a"},
		{"POST", "/metrics"},
		{"GET", "/metrics"},
		{"GET", "/made/up/by-a-client"},
		{"GET", "/watch"},
	} {
		get(t, o, r[0], r[1])
	}
	got = n.answers
	want := []Answer{
		{Route: "/files", Status: 200, Bytes: length},
		{Route: "/files", Status: 200},
		{Route: "/metrics", Status: 405},
		{Route: "/metrics", Status: 200, Bytes: 2},
		{Route: RouteOther, Status: 404},
		{Route: "/watch", Status: 200, Stream: true},
	}
	ignore := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Took" }, cmp.Ignore())
	errorBodies := cmp.FilterValues(func(a, b Answer) bool { return a.Status >= 400 && b.Status >= 400 },
		cmp.Comparer(func(a, b Answer) bool { return a.Route == b.Route && a.Status == b.Status && a.Bytes+b.Bytes > 0 }))
	if diff := cmp.Diff(want, got, ignore, errorBodies); diff != "" {
		t.Error(diff)
	}
	if n.begun != len(want) {
		t.Errorf("%d requests began", n.begun)
	}
}

func TestRoute(t *testing.T) {
	for pattern, want := range map[string]string{
		"": RouteOther, "/": RouteOther, "/{$}": "/", "/page/app.js": "/page/", "/files": "/files", "GET /files": "/files", "GET /": RouteOther,
	} {
		if got := route(pattern); got != want {
			t.Errorf("%q counts as %q, not %q", pattern, got, want)
		}
	}
}

// To be counted costs an answer next to nothing.
func TestCostOfObserving(t *testing.T) {
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	o := Observe(h, new(unnoted))
	r := httptest.NewRequest("GET", "/", nil)
	w := void{http.Header{}}
	if allocs, bytes := alloctest.Cost(func() { o.ServeHTTP(w, r) }); allocs > 2 || bytes > 256 {
		t.Errorf("%.0f allocations, %.0f bytes", allocs, bytes)
	}
}

type unnoted struct{}

func (*unnoted) Began()          {}
func (*unnoted) Answered(Answer) {}
