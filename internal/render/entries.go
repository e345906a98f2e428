package render

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"scout/internal/files"
	"scout/internal/index"
	"scout/internal/listing"
)

// entries renders entries in a format, in the order of the list.
type entries interface {
	// add renders an entry of a source that is shown. It does not keep name.
	add(name []byte, owner uint32)
	// addRun renders a run of entries. It returns false if it cannot, and has
	// rendered nothing then.
	addRun(r index.Run) bool
	// pending is how many bytes are rendered and not written.
	pending() int
	// flush writes what is rendered.
	flush(out io.Writer) error
	// release gives the buffer back. Nothing may be called after that.
	release()
}

func (r *Renderer) newEntries(v *listing.Version, f Format) entries {
	if f == JSON || f == NDJSON {
		return newJSONEntries(r.fragments.get(v, f), f)
	}
	return newPathEntries(r.fragments.get(v, f), f)
}

// Entries are written in pieces of at least pieceSize bytes, which makes what a
// write costs small beside its bytes. A run of entries with names of common
// lengths fits into the margin.
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

// writeSelection writes the entries of a selection, and reports whether there
// were any.
func writeSelection(out io.Writer, e entries, s Selection) (some bool, err error) {
	for ; s.Next(); some = true {
		e.add(s.Name(), s.Owner())
		if e.pending() >= pieceSize {
			if err := e.flush(out); err != nil {
				return true, err
			}
		}
	}
	if err := s.Err(); err != nil || !some {
		return some, err
	}
	return true, e.flush(out)
}

// writeLeaves writes the entries of leaves that are shown, and reports whether
// there were any.
func writeLeaves(out io.Writer, e entries, v *listing.Version, leaves []*index.Leaf) (some bool, err error) {
	for _, leaf := range leaves {
		for run := range leaf.Runs() {
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
	}
	if !some {
		return false, nil
	}
	return true, e.flush(out)
}

// fragments are what the entries of each source have in common in a format, by
// the number of the source, ready to be copied: padded. The fragment of a source
// that is not shown is nil.
type fragments [][]byte

// sourceFragments are the fragments of the sources of one Version.
type sourceFragments struct {
	sources *listing.Sources
	of      []*listing.Source // by number; nil if not shown
	all     fragments
}

// fragmentCache keeps the fragments that were made last. Sources change less
// often than lists, and one at a time.
type fragmentCache [formatCount]atomic.Pointer[sourceFragments]

// get returns the fragments of a Version's sources.
func (c *fragmentCache) get(v *listing.Version, f Format) fragments {
	last := c[f].Load()
	if last != nil && last.sources == v.Sources() {
		return last.all
	}
	made := newSourceFragments(v.Sources(), f, last)
	c[f].Store(made)
	return made.all
}

// newSourceFragments makes fragments. It takes over those that were made before
// for the same sources.
func newSourceFragments(sources *listing.Sources, f Format, last *sourceFragments) *sourceFragments {
	n := sources.Numbers()
	s := &sourceFragments{sources: sources, of: make([]*listing.Source, n), all: make(fragments, n)}
	for i := range n {
		source := sources.Shown(uint32(i))
		switch {
		case source == nil:
			continue
		case last != nil && i < len(last.of) && last.of[i] == source:
			s.all[i] = last.all[i]
		default:
			s.all[i] = padded(newFragment(source.Origin, f))
		}
		s.of[i] = source
	}
	return s
}

func newFragment(o files.Origin, f Format) []byte {
	switch f {
	case JSON, NDJSON:
		return append(appendJSONOrigin(nil, o), jsonStyles[f].next...)
	case Text:
		return appendPrintable(nil, []byte(folder(o)))
	}
	return []byte(folder(o))
}

// folder returns the part of a path that comes before the filenames of an origin.
func folder(o files.Origin) string {
	return strings.TrimSuffix(o.Directory, "/") + "/"
}
