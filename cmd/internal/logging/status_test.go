package logging

import (
	"strings"
	"testing"

	"go.uber.org/zap"
)

// screen is what a terminal shows after what was written to it.
func screen(t *testing.T, written string) []string {
	t.Helper()
	lines := []string{""}
	for written != "" {
		last := &lines[len(lines)-1]
		switch {
		case strings.HasPrefix(written, eraseLine):
			*last, written = "", written[len(eraseLine):]
		case written[0] == '\n':
			lines, written = append(lines, ""), written[1:]
		case written[0] < ' ':
			t.Fatalf("the terminal is told %q", written)
		default:
			*last, written = *last+written[:1], written[1:]
		}
	}
	return lines
}

func TestStatusStaysBelowTheLog(t *testing.T) {
	var out output
	s := &Status{out: &out, columns: func() int { return 20 }}
	log := New(s, Console, zap.InfoLevel)
	s.Show("")
	log.Info("one")
	s.Show("10 files")
	log.Info("two")
	s.Show("20 files")
	log.Info("three")
	got := screen(t, out.String())
	if len(got) != 4 || !strings.HasSuffix(got[0], "one") || !strings.HasSuffix(got[1], "two") || !strings.HasSuffix(got[2], "three") || got[3] != "20 files" {
		t.Errorf("the terminal shows %q", got)
	}
	s.Show("a text too long for this\x1b[31m terminal")
	if got := screen(t, out.String()); got[3] != "a text too long for" {
		t.Errorf("of a long line %q is shown", got[3])
	}
	s.Show("")
	if got := screen(t, out.String()); got[3] != "" {
		t.Errorf("%q is left behind", got[3])
	}
}

// Only people at a terminal see the status.
func TestStatusOnlyForPeople(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		format   Format
		term     string
		shown    bool
	}{
		{"terminal", true, Console, "xterm", true},
		{"console in a file", false, Console, "xterm", false},
		{"JSON on a terminal", true, JSON, "xterm", false},
		{"a terminal that cannot erase", true, Console, "dumb", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv("TERM", tc.term)
			var out output
			status := new(Status)
			log := New(status.Attach(&out, tc.terminal, tc.format), tc.format, zap.InfoLevel)
			status.Show("10 files")
			log.Info("working")
			status.Show("")
			if shown := strings.Contains(out.String(), "10 files"); shown != tc.shown {
				t.Errorf("shown: %v, in %q", shown, out.String())
			}
			if !tc.shown && strings.Contains(out.String(), "\x1b") {
				t.Errorf("escapes in %q", out.String())
			}
			if tc.shown {
				if left := screen(t, out.String()); left[len(left)-1] != "" {
					t.Errorf("%q is left behind", left)
				}
			}
		})
	}
}

func TestNoStatus(t *testing.T) {
	var s *Status
	s.Show("to nobody")
	new(Status).Show("to nobody either")
	var out output
	if got := s.Attach(&out, true, Console); got != Output(&out) {
		t.Errorf("attached to %v", got)
	}
}
