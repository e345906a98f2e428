package web

import (
	"errors"
	"io"
	"sync"

	"scout/internal/index"
	"scout/internal/listing"
)

// entries renders entries in a format, in the order of the list.
type entries interface {
	// add renders an entry of a source that is shown. It does not keep name.
	add(name []byte, owner uint32)
	// addRun renders a run of entries, or nothing when it cannot.
	addRun(r index.Run) bool
	// pending is how many bytes are rendered and not written.
	pending() int
	// flush writes what is rendered.
	flush(out io.Writer) error
	// release gives the buffer back. Nothing may be done after that.
	release()
}

func newEntries(v *listing.Version, f format) entries {
	if f == formatJSON || f == formatNDJSON {
		return newJSONEntries(v, f)
	}
	return newPathEntries(v, f)
}

// Entries are written in pieces so large that what a piece costs is little
// beside its bytes. A run of entries with names of common lengths fits into the
// margin.
const (
	pieceSize   = 256 << 10
	pieceMargin = 32 << 10
)

var buffers = sync.Pool{New: func() any {
	b := make([]byte, 0, pieceSize+pieceMargin)
	return &b
}}

// buffer is where entries are rendered.
type buffer struct {
	buf    []byte
	pooled *[]byte
}

func newBuffer() buffer {
	p := buffers.Get().(*[]byte)
	return buffer{(*p)[:0], p}
}

func (b *buffer) pending() int { return len(b.buf) }

func (b *buffer) release() { buffers.Put(b.pooled) }

var errLeft = errors.New("the client has left")

// writeSelection writes the entries of a selection, and reports whether there
// were some.
func writeSelection(out io.Writer, s *selection, f format) (some bool, err error) {
	e := newEntries(s.version, f)
	defer e.release()
	for ; s.Next(); some = true {
		e.add(s.Name(), s.Owner())
		if e.pending() >= pieceSize {
			if err := e.flush(out); err != nil {
				return true, err
			}
		}
	}
	if s.aborted {
		return some, errLeft
	}
	if !some {
		return false, nil
	}
	return true, e.flush(out)
}

// writeLeaf writes all entries of a leaf that are shown.
func writeLeaf(out io.Writer, v *listing.Version, l *index.Leaf, f format) error {
	e := newEntries(v, f)
	defer e.release()
	some := false
	for run := range l.Runs() {
		if e.addRun(run) {
			some = true
		} else {
			for r := v.EntriesOf(run.Entries()); r.Next(); some = true {
				e.add(r.Name(), r.Owner())
			}
		}
		if e.pending() >= pieceSize {
			if err := e.flush(out); err != nil {
				return err
			}
		}
	}
	if !some {
		return nil
	}
	return e.flush(out)
}
