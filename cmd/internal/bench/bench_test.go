//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestExponent(t *testing.T) {
	for _, tc := range []struct {
		points []xy
		want   float64
	}{
		{[]xy{{10, 5}, {1000, 5}}, 0},
		{[]xy{{10, 5}, {100, 7}, {1000, 500}}, 1},
		{[]xy{{10, 100}, {1000, 1}}, -1},
	} {
		if got, ok := exponent(tc.points); !ok || math.Abs(got-tc.want) > 1e-9 {
			t.Errorf("%v grows like n^%g, want n^%g", tc.points, got, tc.want)
		}
	}
	if _, ok := exponent([]xy{{10, 5}}); ok {
		t.Error("one point grows")
	}
}

func TestReached(t *testing.T) {
	for _, tc := range []struct {
		figure    figure
		ok, known bool
	}{
		{figure{value: 2, bound: atMost(2)}, true, true},
		{figure{value: 3, bound: atMost(2)}, false, true},
		{figure{value: 3, reference: 2, bound: atMostTimes(1.5)}, true, true},
		{figure{value: 2, reference: 3, bound: atLeastTimes(0.7)}, false, true},
		{figure{value: 2, bound: atLeastTimes(0.7)}, false, false},
		{figure{value: 1, bound: atMost(0)}, false, true},
		{figure{bound: atMost(0)}, true, true},
		{figure{value: 0, reference: 3, bound: atMostTimes(0.7)}, true, true},
		{figure{value: 2}, false, false},
	} {
		if ok, known := tc.figure.reached(); ok != tc.ok || known != tc.known {
			t.Errorf("%+v: reached %v, known %v", tc.figure, ok, known)
		}
	}
}

func TestPage(t *testing.T) {
	r := newReport(options{rows: regexp.MustCompile(""), growth: true})
	w := &scanRows[0]
	for i, p := range w.growth[0].points {
		size := float64(p.files)
		var res result
		res.add(figure{unit: seconds, value: size / 1e6, reference: size / 2e6, bound: atMostTimes(1.5)})
		res.note("note %d", i)
		r.add(task{w, p}, res, nil)
	}
	r.add(task{&freshRows[0], freshRows[0].at}, result{}, skip("no watches"))
	path := filepath.Join(t.TempDir(), "page.md")
	if err := r.write(path); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| 1.00 s | 500 ms | 2.00 × | ≤ 1.50 × | **no** |",
		"n^1.00",
		"not measured: skipped: no watches",
		"*note 2*",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}
