package cli

import (
	"bytes"
	"context"
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
	var out bytes.Buffer
	s := &Status{out: &out, columns: func() int { return 20 }}
	log := newLogger(s, consoleFormat, zap.InfoLevel)
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
	s.Show("what is too long for this\x1b[31m terminal")
	if got := screen(t, out.String()); got[3] != "what is too long fo" {
		t.Errorf("of a long line %q is shown", got[3])
	}
	s.Show("")
	if got := screen(t, out.String()); got[3] != "" {
		t.Errorf("%q is left behind", got[3])
	}
}

// The status is for people at a terminal, and is gone when the program is.
func TestStatusOnlyForPeople(t *testing.T) {
	for _, tc := range []struct {
		name     string
		terminal bool
		args     []string
		term     string
		shown    bool
	}{
		{"terminal", true, nil, "xterm", true},
		{"file", false, nil, "xterm", false},
		{"console in a file", false, []string{"-log-format=console"}, "xterm", false},
		{"JSON on a terminal", true, []string{"-log-format=json"}, "xterm", false},
		{"a terminal that cannot", true, nil, "dumb", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			status := new(Status)
			p := Program{Name: "test", Status: status, Run: func(_ context.Context, log *zap.Logger) error {
				status.Show("10 files")
				log.Info("working")
				return nil
			}}
			sys := system{
				getenv: func(name string) string { return map[string]string{"TERM": tc.term}[name] },
				stderr: &out, terminal: tc.terminal, columns: func() int { return 0 }, exit: func(int) {},
			}
			if code := p.main(tc.args, sys); code != 0 {
				t.Fatalf("exit code %d: %s", code, &out)
			}
			if shown := strings.Contains(out.String(), "10 files"); shown != tc.shown {
				t.Errorf("shown: %v, in %q", shown, &out)
			}
			if !tc.shown && strings.Contains(out.String(), "\x1b") {
				t.Errorf("escapes in %q", &out)
			}
			if tc.shown {
				if left := screen(t, out.String()); left[len(left)-1] != "" {
					t.Errorf("%q is left behind", left)
				}
			}
		})
	}
}

func TestNoStatus(_ *testing.T) {
	var s *Status
	s.Show("to nobody")
	new(Status).Show("to nobody either")
}
