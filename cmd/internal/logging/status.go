package logging

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// Status is a line below the log, on a terminal, that shows progress. It shows
// nothing unless it is attached, and a nil Status ignores all calls. Any
// goroutine may use it.
type Status struct {
	mu      sync.Mutex
	out     Output     // nil: not attached
	columns func() int // of the terminal; 0: unknown
	text    string
}

const (
	eraseLine = "\r\x1b[K"
	// defaultColumns is the width of a terminal that does not tell its own.
	defaultColumns = 80
)

// Show replaces the shown text. An empty text removes the line.
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
	_, _ = io.WriteString(s.out, eraseLine+s.visible())
}

// Write passes on whole lines of the log, which appear above the status.
func (s *Status) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text == "" {
		return s.out.Write(lines)
	}
	// In one piece, so that the output of other programs cannot come between.
	if _, err := io.WriteString(s.out, eraseLine+string(lines)+s.visible()); err != nil {
		return 0, err
	}
	return len(lines), nil
}

// visible is the part of the text that fits into one line of the terminal: a
// wrapped line could not be erased.
func (s *Status) visible() string {
	room := s.columns() - 1
	if room < 0 {
		room = defaultColumns - 1
	}
	text := []rune(printable(s.text))
	return string(text[:min(len(text), room)])
}

// Attach puts s below the log that is written to out, and returns where the
// log must be written instead. Only a terminal that can erase a line, and a
// log for people, get a status line.
func (s *Status) Attach(out Output, terminal bool, format Format) Output {
	if s == nil || !terminal || format != Console || os.Getenv("TERM") == "dumb" {
		return out
	}
	s.out, s.columns = out, terminalColumns
	return s
}

// terminalColumns is the width of the terminal on standard error, or 0.
func terminalColumns() int {
	width, _, err := term.GetSize(int(os.Stderr.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func (s *Status) onDropped(report func(lines int)) { s.out.onDropped(report) }
