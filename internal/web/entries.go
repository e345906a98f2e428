package web

import (
	"errors"
	"io"

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

var errLeft = errors.New("the client has left")

// writeSelection writes the entries of a selection, and reports whether there
// were some.
func writeSelection(out io.Writer, s *selection, f format) (some bool, err error) {
	e := newEntries(s.version, f)
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

// writeLeaf writes all entries of a leaf, and reports whether there were some.
func writeLeaf(out io.Writer, v *listing.Version, l *index.Leaf, f format) (some bool, err error) {
	e := newEntries(v, f)
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
				return some, err
			}
		}
	}
	if !some {
		return false, nil
	}
	return true, e.flush(out)
}
