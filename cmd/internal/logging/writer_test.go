package logging

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// pausable is an end of a pipe whose reader may stop to read.
type pausable struct {
	mu  sync.Mutex // held while the reader does not read
	out bytes.Buffer
}

func (p *pausable) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Nobody reads: nobody waits, and once somebody reads again the log says how
// many lines are missing.
func TestDroppedLinesAreCounted(t *testing.T) {
	const lines = 100_000
	var p pausable
	w := NewWriter(&p)
	log := New(w, JSON, zapcore.ErrorLevel)
	p.mu.Lock()
	for i := range lines {
		log.Error("same", zap.Int("number", i))
	}
	p.mu.Unlock()
	w.Close(time.Minute)

	written, dropped := 0, 0
	for line := range strings.Lines(p.out.String()) {
		var event struct {
			Msg, Level    string
			Number, Lines int
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		switch event.Msg {
		case "same":
			if dropped > 0 || event.Number != written {
				t.Fatalf("line %d is number %d, after %d dropped lines", written, event.Number, dropped)
			}
			written++
		case "log lines dropped":
			dropped += event.Lines
		default:
			t.Errorf("unexpected: %s", line)
		}
	}
	if dropped == 0 || written+dropped != lines || p.out.Len() > 3*bufferSize {
		t.Errorf("%d lines written and %d dropped of %d, %d bytes", written, dropped, lines, p.out.Len())
	}
}

// Lines are written as they come, and in order, while the reader keeps up.
func TestWriterWritesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pausable
		w := NewWriter(&p)
		defer w.Close(time.Minute)
		for _, line := range []string{"one\n", "two\n", "three\n"} {
			if n, err := io.WriteString(w, line); n != len(line) || err != nil {
				t.Errorf("%q: %d, %v", line, n, err)
			}
			synctest.Wait()
			if got := p.out.String(); !strings.HasSuffix(got, line) {
				t.Errorf("after %q: %q", line, got)
			}
		}
		if got := p.out.String(); got != "one\ntwo\nthree\n" {
			t.Errorf("%q", got)
		}
	})
}

// Close waits for a reader that is slow, but not for one that is gone.
func TestCloseIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reader, pipe := io.Pipe()
		w := NewWriter(pipe)
		io.WriteString(w, "last\n")
		began := time.Now()
		w.Close(time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("with no reader Close took %s", took)
		}
		w.Close(time.Second) // by a second signal
		text := make([]byte, 5)
		if _, err := io.ReadFull(reader, text); string(text) != "last\n" {
			t.Errorf("%q, %v", text, err)
		}
		began = time.Now()
		w.Close(time.Second)
		if took := time.Since(began); took != 0 {
			t.Errorf("with an empty buffer Close took %s", took)
		}
	})
}

// Each write has whole lines, as many as a pipe takes whole or not at all.
func TestWholeLines(t *testing.T) {
	short, long := strings.Repeat("x", 99)+"\n", strings.Repeat("y", 2*pipeSize)+"\n"
	for _, tc := range []struct {
		text string
		want int
	}{
		{short, 100},
		{strings.Repeat(short, 100), pipeSize / 100 * 100},
		{short + long, 100},
		{long + short, len(long)},
		{long[:len(long)-1], len(long) - 1},
	} {
		if got := wholeLines([]byte(tc.text)); got != tc.want {
			t.Errorf("%d of %d bytes are written at once, want %d", got, len(tc.text), tc.want)
		}
	}
}
