package web

import (
	"io"
	"sync"
)

// renderer writes answers. It may serve many requests at once.
type renderer struct {
	room *room // for text that is kept
}

func newRenderer() *renderer { return &renderer{room: newRoom(textRoom)} }

// write writes an answer, compressed as it says.
func (r *renderer) write(out io.Writer, a *answer) error {
	switch {
	case a.coding == identity:
		return r.writePlain(out, a)
	case a.isWhole():
		return r.writeStretches(out, a)
	case a.coding == codingGzip:
		return r.writeThrough(out, a, &gzipWriters)
	default:
		return r.writeThrough(out, a, &zstdWriters)
	}
}

// compressor is a writer that compresses what is written to another.
type compressor interface {
	io.WriteCloser
	Reset(out io.Writer)
}

// writeThrough writes an answer through one of the compressors.
func (r *renderer) writeThrough(out io.Writer, a *answer, compressors *sync.Pool) error {
	z := compressors.Get().(compressor)
	defer compressors.Put(z)
	defer z.Reset(nil) // hold on to nobody's connection
	z.Reset(out)
	if err := r.writePlain(z, a); err != nil {
		return err
	}
	return z.Close()
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
	_, err = io.WriteString(out, tail(a.format, some, a.next))
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
		if _, err := writeLeaf(out, a.version, leaf, a.format); err != nil {
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

// tail returns what follows the entries, if there are some. next is the cursor
// of the next page, or "".
func tail(f format, some bool, next string) string {
	if f == formatJSON {
		return jsonEnd(some, next)
	}
	return ""
}
