package watch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestEvents(t *testing.T) {
	h := newEvents("/data/dir")
	for _, path := range []string{
		"/data/dir/a", "/data/dir/d/e/f", "/data/dir/a", "/data/dir/d/e/g", "/data/dir/\n\xff",
		"/data/dirt/x", "/data", "/elsewhere", "/data/di",
	} {
		h.add(path, changeIf(path == "/data/dir/a"))
	}
	h.add("/data/dir/a", 0)
	<-h.ready
	got := h.take()
	want := map[string]map[string]change{"": {"a": movedHere, "\n\xff": 0}, "d/e": {"f": 0, "g": 0}}
	if d := cmp.Diff(want, got.names); d != "" {
		t.Error(d)
	}
	if got.self || got.lost {
		t.Errorf("self %v, lost %v", got.self, got.lost)
	}
	h.add("/data/dir", 0)
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

func TestEventsOfTheRootDirectory(t *testing.T) {
	h := newEvents("/")
	h.add("/etc", 0)
	h.add("/etc/passwd", 0)
	h.add("/", 0)
	got := h.take()
	want := map[string]map[string]change{"": {"etc": 0}, "etc": {"passwd": 0}}
	if d := cmp.Diff(want, got.names); d != "" || !got.self {
		t.Errorf("self %v, names %s", got.self, d)
	}
}

func TestEventsAreBounded(t *testing.T) {
	h := newEvents("/d")
	for i := range 2 * maxEventNames {
		h.add(fmt.Sprintf("/d/x/%d", i), 0)
	}
	if got := h.take(); len(got.names) != 1 || len(got.names["x"]) != 0 || got.lost {
		t.Errorf("%d names in one directory, lost %v", len(got.names["x"]), got.lost)
	}
	for i := range 2 * maxEventNames {
		h.add(fmt.Sprintf("/d/%d/%d", i%1000, i), 0)
	}
	total := 0
	got := h.take()
	for _, names := range got.names {
		total += len(names)
	}
	if len(got.names) != 1000 || total > maxEventNames || got.lost {
		t.Errorf("%d names in %d directories, lost %v", total, len(got.names), got.lost)
	}
	for i := range maxEventDirectories {
		h.add(fmt.Sprintf("/d/%d/x", i), 0)
	}
	if got := h.take(); len(got.names) != maxEventDirectories || got.lost {
		t.Errorf("%d directories, lost %v", len(got.names), got.lost)
	}
	for i := range 2 * maxEventDirectories {
		h.add(fmt.Sprintf("/d/%d/x", i), 0)
	}
	if got := h.take(); len(got.names) != maxEventDirectories || !got.lost {
		t.Errorf("%d directories, lost %v", len(got.names), got.lost)
	}
}

func changeIf(moved bool) change {
	if moved {
		return movedHere
	}
	return 0
}

func TestFloodMayHaveLostSomething(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tally := tally{flood: 10}
		count := func(n int) (lost bool) {
			for range n {
				lost = tally.add()
			}
			return lost
		}
		for range 100 {
			if count(9) {
				t.Fatal("nine a second are no flood of ten")
			}
			time.Sleep(time.Second)
		}
		if !count(10) {
			t.Error("ten at once are a flood of ten")
		}
	})
}
