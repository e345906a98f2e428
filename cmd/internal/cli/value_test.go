package cli

import (
	"testing"
	"time"
)

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"1ms": time.Millisecond, "1.5s": 1500 * time.Millisecond, "1m30s": 90 * time.Second} {
		if got, err := Duration(s); got != want || err != nil {
			t.Errorf("%s: got %s, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "0s", "-1s", "999us", "5", "s", "1 s", "99999999999h"} {
		if got, err := Duration(s); err == nil {
			t.Errorf("%q is %s", s, got)
		}
	}
}

func TestText(t *testing.T) {
	if got, err := Text("wéb-01"); got != "wéb-01" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := Text("w\xffb"); err == nil || err.Error() != `"w\xffb" is not UTF-8` {
		t.Error(err)
	}
}

func TestCount(t *testing.T) {
	for s, want := range map[string]int{"0": 0, "1024": 1024, "1000000": 1_000_000} {
		if got, err := Count(s); got != want || err != nil {
			t.Errorf("%s: got %d, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "-1", "1e3", "1000001", " 1", "many"} {
		if got, err := Count(s); err == nil {
			t.Errorf("%q is %d", s, got)
		}
	}
}
