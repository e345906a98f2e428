package logging

import (
	"bytes"
	"io"
	"sync"
	"time"

	"scout/internal/wake"
)

// bufferSize bounds the bytes that wait to be written.
const bufferSize = 1 << 20

// keptSize bounds the buffer that is kept for later.
const keptSize = 64 << 10

// pipeSize is PIPE_BUF of Linux.
const pipeSize = 4 << 10

// Output is where a log is written: a [Writer], or a [Status] above one.
type Output interface {
	io.Writer
	onDropped(report func(lines int))
}

// Writer passes what is written to it on to another writer, from a goroutine of
// its own. Write never blocks, even if nobody reads the other end: text that
// does not fit into the buffer is dropped, and its lines are counted. Any
// goroutine may use it.
type Writer struct {
	out  io.Writer
	wake wake.Signal
	stop func()        // ends the goroutine once the buffer is empty; may be called again
	done chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	buffer  []byte
	spare   []byte          // memory for the next buffer
	dropped int             // lines since the last report
	report  func(lines int) // may call Write
}

// NewWriter starts a Writer. The caller must call Close.
func NewWriter(out io.Writer) *Writer {
	quit := make(chan struct{})
	w := &Writer{
		out: out, wake: wake.NewSignal(), done: make(chan struct{}), report: func(int) {},
		stop: sync.OnceFunc(func() { close(quit) }),
	}
	go w.run(quit)
	return w
}

func (w *Writer) onDropped(report func(lines int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.report = report
}

// Write takes p as a whole or drops it. It returns no error.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.buffer)+len(p) > bufferSize {
		w.dropped += bytes.Count(p, []byte("\n"))
	} else {
		w.buffer = append(w.buffer, p...)
	}
	w.wake.Set()
	return len(p), nil
}

// Close writes the rest of the buffer. It gives up after limit, so that a
// process can end although nobody reads its log.
func (w *Writer) Close(limit time.Duration) {
	w.stop()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-w.done:
	case <-timer.C:
	}
}

func (w *Writer) run(quit <-chan struct{}) {
	defer close(w.done)
	for {
		select {
		case <-w.wake:
			w.drain()
		case <-quit:
			w.drain()
			return
		}
	}
}

// drain writes until the buffer is empty and every dropped line is reported.
func (w *Writer) drain() {
	for {
		text, dropped, report := w.take()
		if len(text) == 0 && dropped == 0 {
			return
		}
		for rest := text; len(rest) > 0; {
			n := wholeLines(rest)
			_, _ = w.out.Write(rest[:n]) // there is no other place to report an error
			rest = rest[n:]
		}
		if dropped > 0 {
			report(dropped)
		}
		w.keep(text)
	}
}

// wholeLines returns the length of the lines that are written at once: as many as a pipe
// takes whole or not at all, but at least one. So a program that ends although nobody
// reads its log leaves no part of a line there.
func wholeLines(text []byte) int {
	if len(text) <= pipeSize {
		return len(text)
	}
	if n := bytes.LastIndexByte(text[:pipeSize], '\n'); n >= 0 {
		return n + 1
	}
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		return n + 1
	}
	return len(text)
}

// keep keeps the memory of text for later.
func (w *Writer) keep(text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cap(text) <= keptSize {
		w.spare = text[:0]
	}
}

// take takes the buffer, and leaves an empty one in its place.
func (w *Writer) take() (text []byte, dropped int, report func(int)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, dropped = w.buffer, w.dropped
	w.buffer, w.spare, w.dropped = w.spare, nil, 0
	return text, dropped, w.report
}
