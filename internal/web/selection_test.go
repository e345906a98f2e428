package web

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
)

// What the index counts and skips is what reading all entries finds: in a list that is
// merged, in one with runs, and in one with entries that are masked.
func TestCountsAndSkips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	l := listing.New()
	var sources []*listing.Source
	show := func(host string, n int) {
		var names []string
		for range n {
			names = append(names, fmt.Sprintf("%c%c/%03d", "abc\xc3\xff"[r.IntN(5)], "xy\xff"[r.IntN(3)], r.IntN(500)))
		}
		slices.Sort(names)
		sources = append(sources, l.Show(files.Origin{Host: host, Directory: "/"}, filestest.Set(slices.Compact(names)...), nil))
	}
	check := func(when string) {
		t.Helper()
		v := l.Current()
		for range 300 {
			checkCounts(t, when, v, randomSelection(r, v.Len))
		}
	}
	check("empty")
	show("a", 2000)
	show("b", 1000)
	check("runs")
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	if !l.Current().Counted() {
		t.Error("a merged list is not counted")
	}
	check("merged")
	q, err := parseQuery("offset=2000&limit=1")
	if err != nil {
		t.Fatal(err)
	}
	if s := newSelection(l.Current(), q, nil); s.read > 200 {
		t.Errorf("to skip 2000 entries %d are read", s.read)
	}
	show("c", 1500)
	show("d", 3)
	if !l.Current().Counted() {
		t.Error("a list with two runs is not counted")
	}
	check("merged, and runs")
	l.Drop(sources[0])
	if l.Current().Counted() {
		t.Error("a list with masked entries is counted")
	}
	check("masked")
}

// randomSelection is the query of a request for a part of a list of n entries.
func randomSelection(r *rand.Rand, n int) string {
	raw := fmt.Sprintf("limit=%d", 1+r.IntN(20))
	for range r.IntN(3) {
		raw += "&prefix=" + []string{"a", "ax", "b", "by/4", "%ff", "%ff%ff", "c", "none", "ax/250", "%c3"}[r.IntN(10)]
	}
	switch r.IntN(3) {
	case 0:
		raw += fmt.Sprintf("&offset=%d", r.IntN(n+n/10+2))
	case 1:
		raw += "&from=" + []string{"a", "bx/2", "%ff", "%ffz", "c", "ax/250"}[r.IntN(6)]
	}
	return raw
}

// checkCounts compares a selection with what reading the whole list finds.
func checkCounts(t *testing.T, when string, v *listing.Version, raw string) {
	t.Helper()
	q, err := parseQuery(raw)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	total, before := 0, 0
	for e := v.Entries(); e.Next(); {
		if !slices.ContainsFunc(orEverything(q.prefixes), func(p []byte) bool { return bytes.HasPrefix(e.Name(), p) }) {
			continue
		}
		if total++; total <= q.offset || q.from != nil && bytes.Compare(e.Name(), q.from) < 0 {
			before++
		} else if len(want) < q.limit {
			want = append(want, string(e.Name())+" "+e.Source().Origin.Host)
		}
	}
	var got []string
	for s := newSelection(v, q, nil); s.Next(); {
		got = append(got, string(s.Name())+" "+s.Source().Origin.Host)
	}
	gotTotal, gotBefore, ok := q.countIn(v, nil)
	if !ok || gotTotal != total || gotBefore != before || !slices.Equal(got, want) {
		t.Fatalf("%s, %s: %d of %d, %q; want %d of %d, %q", when, raw, gotBefore, gotTotal, got, before, total, want)
	}
}
