package cli

import (
	"io"
	"runtime"
	"sync"
)

// Status is a line below the log, on a terminal, that says how something is
// getting on. It is there only where a person looks at a terminal and the log
// is for people; elsewhere, and if nil, what it is told goes nowhere. Any
// goroutine may use it.
type Status struct {
	mu      sync.Mutex
	out     io.Writer  // nil: nowhere
	columns func() int // of the terminal; 0: not known
	text    string
}

const (
	eraseLine = "\r\x1b[K"
	// narrow is how wide a terminal is taken to be that does not say.
	narrow = 80
)

// Show puts text in place of what was there. No text takes the line away.
func (s *Status) Show(text string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out == nil || text == "" && s.text == "" {
		return
	}
	s.text = text
	_, _ = io.WriteString(s.out, eraseLine+s.fitting())
}

// Write passes on whole lines of the log, which appear above the status.
func (s *Status) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		return s.out.Write(lines)
	}
	// In one piece, or else other programs on the terminal come between.
	if _, err := io.WriteString(s.out, eraseLine+string(lines)+s.fitting()); err != nil {
		return 0, err
	}
	return len(lines), nil
}

// fitting is the text as far as the terminal has room for it: what wraps
// cannot be erased again.
func (s *Status) fitting() string {
	room := s.columns() - 1
	if room < 0 {
		room = narrow - 1
	}
	text := []rune(printable(s.text))
	return string(text[:min(len(text), room)])
}

// open makes s show what it is told, if there is somebody to see it. It
// returns where the log has to go for that.
func (s *Status) open(sys system, format logFormat) io.Writer {
	if s == nil || !sys.terminal || format != consoleFormat || sys.getenv("TERM") == "dumb" || runtime.GOOS == "windows" {
		return sys.stderr
	}
	s.out, s.columns = sys.stderr, sys.columns
	return s
}
