package watch

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestHints(t *testing.T) {
	h := newHints("/data/dir", 1000)
	for _, path := range []string{
		"/data/dir/a", "/data/dir/d/e/f", "/data/dir/a", "/data/dir/d/e/g", "/data/dir/\n\xff",
		"/data/dirt/x", "/data", "/elsewhere", "/data/di",
	} {
		h.add(path, path == "/data/dir/a")
	}
	h.add("/data/dir/a", false)
	<-h.ready
	got := h.take()
	want := map[string]map[string]bool{"": {"a": true, "\n\xff": false}, "d/e": {"f": false, "g": false}}
	if d := cmp.Diff(want, got.names); d != "" {
		t.Error(d)
	}
	if got.self || got.lost {
		t.Errorf("self %v, lost %v", got.self, got.lost)
	}
	h.add("/data/dir", false)
	if got := h.take(); !got.self || len(got.names) > 0 {
		t.Errorf("the directory itself: %+v", got)
	}
	h.lose()
	if got := h.take(); !got.lost {
		t.Error("loss was forgotten")
	}
	if got := h.take(); got.lost || got.self || len(got.names) > 0 {
		t.Errorf("taken twice: %+v", got)
	}
}

func TestHintsOfTheRootDirectory(t *testing.T) {
	h := newHints("/", 1000)
	h.add("/etc", false)
	h.add("/etc/passwd", false)
	h.add("/", false)
	got := h.take()
	want := map[string]map[string]bool{"": {"etc": false}, "etc": {"passwd": false}}
	if d := cmp.Diff(want, got.names); d != "" || !got.self {
		t.Errorf("self %v, names %s", got.self, d)
	}
}

func TestHintsAreBounded(t *testing.T) {
	h := newHints("/d", math.MaxInt)
	for i := range 2 * maxHintedNames {
		h.add(fmt.Sprintf("/d/x/%d", i), false)
	}
	if got := h.take(); len(got.names) != 1 || len(got.names["x"]) != 0 || got.lost {
		t.Errorf("%d names in one directory, lost %v", len(got.names["x"]), got.lost)
	}
	for i := range 2 * maxHintedNames {
		h.add(fmt.Sprintf("/d/%d/%d", i%1000, i), false)
	}
	total := 0
	got := h.take()
	for _, names := range got.names {
		total += len(names)
	}
	if len(got.names) != 1000 || total > maxHintedNames || got.lost {
		t.Errorf("%d names in %d directories, lost %v", total, len(got.names), got.lost)
	}
	for i := range maxHintedDirectories {
		h.add(fmt.Sprintf("/d/%d/x", i), false)
	}
	if got := h.take(); len(got.names) != maxHintedDirectories || got.lost {
		t.Errorf("%d directories, lost %v", len(got.names), got.lost)
	}
	for i := range 2 * maxHintedDirectories {
		h.add(fmt.Sprintf("/d/%d/x", i), false)
	}
	if got := h.take(); len(got.names) != maxHintedDirectories || !got.lost {
		t.Errorf("%d directories, lost %v", len(got.names), got.lost)
	}
}

func TestFloodMayHaveLostSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHints("/d", 10)
		for range 100 {
			for range 9 {
				h.add("/d/x", false)
			}
			time.Sleep(time.Second)
		}
		if h.take().lost {
			t.Error("nine a second are no flood of ten")
		}
		for range 10 {
			h.add("/d/x", false)
		}
		if !h.take().lost {
			t.Error("ten at once are a flood of ten")
		}
	})
}
