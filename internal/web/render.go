package web

import (
	"io"
	"sync"
)

// renderer writes answers. It may serve many requests at once.
type renderer struct {
	room *room // for text that is kept
}

func newRenderer() *renderer { return &renderer{room: roomForText()} }

// write writes an answer, compressed as it says.
func (r *renderer) write(out io.Writer, a *answer) error {
	if a.coding != identity && a.isWhole() {
		return r.writeStretches(out, a)
	}
	return coded(out, a.coding, func(out io.Writer) error { return r.writePlain(out, a) })
}

// compressor is a writer that compresses what is written to another.
type compressor interface {
	io.WriteCloser
	Reset(out io.Writer)
}

// through lets write write through one of the compressors.
func through(out io.Writer, compressors *sync.Pool, write func(io.Writer) error) error {
	z := compressors.Get().(compressor)
	defer compressors.Put(z)
	defer z.Reset(nil) // hold on to nobody's connection
	z.Reset(out)
	if err := write(z); err != nil {
		return err
	}
	return z.Close()
}

// coded lets write write in a coding.
func coded(out io.Writer, c coding, write func(io.Writer) error) error {
	switch c {
	case codingGzip:
		return through(out, &gzipWriters, write)
	case codingZstd:
		return through(out, &zstdWriters, write)
	}
	return write(out)
}

// writePlain writes an answer without compressing it.
func (r *renderer) writePlain(out io.Writer, a *answer) error {
	if _, err := io.WriteString(out, head(a.format)); err != nil {
		return err
	}
	some, err := r.writeEntries(out, a)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, tail(a.format, some, a.more()))
	return err
}

func (r *renderer) writeEntries(out io.Writer, a *answer) (some bool, err error) {
	switch {
	case !a.isWhole():
		return writeSelection(out, a.entries(), a.format)
	case a.format == formatJSON:
		return r.writeAll(out, a.version)
	}
	for _, leaf := range a.version.Leaves() {
		if err := writeLeaf(out, a.version, leaf, a.format); err != nil {
			return true, err
		}
	}
	return true, nil
}

// head returns what comes before the entries.
func head(f format) string {
	if f == formatJSON {
		return jsonHead
	}
	return ""
}

// separator returns what comes between two leaves' entries.
func separator(f format) string {
	if f == formatJSON {
		return ","
	}
	return ""
}

// tail returns what follows the entries, if there are some. more is what JSON has
// besides.
func tail(f format, some bool, more string) string {
	if f == formatJSON {
		return jsonEnd(some, more)
	}
	return ""
}
