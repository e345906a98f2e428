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

func TestOnOff(t *testing.T) {
	for s, want := range map[string]bool{"true": true, "1": true, "T": true, "YES": true, "false": false, "0": false, "off": false} {
		if got, err := OnOff(s); got != want || err != nil {
			t.Errorf("%s: got %t, %v", s, got, err)
		}
	}
	if _, err := OnOff("maybe"); err == nil || err.Error() != `"maybe" is neither true nor false` {
		t.Error(err)
	}
}
