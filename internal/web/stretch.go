package web

import (
	"bytes"
	"io"
	"sync"

	"scout/internal/index"
	"scout/internal/listing"
)

// The list is compressed leaf by leaf of the merged index, and an answer with
// all of it is stitched together from these stretches.

// stretch is a piece of text, compressed in such a way that it can be put
// between others.
type stretch struct {
	data []byte
	size int64  // of the text
	crc  uint32 // of the text, where the coding needs it
}

// stitcher writes stretches, all of one coding, as one stream.
type stitcher interface {
	// text writes a short text, which is not compressed.
	text(s string)
	add(s *stretch)
	// finish ends the stream and returns the first error that there was.
	finish() error
}

// writeStretches writes an answer that consists of all entries, compressed.
func (r *renderer) writeStretches(out io.Writer, a *answer) error {
	s := newStitcher(out, a.coding)
	s.text(head(a.format))
	some := false
	for _, leaf := range a.version.Leaves() {
		st, err := stretchOf(a.version, leaf, a.format, a.coding)
		if err != nil {
			return err
		}
		if st.size == 0 {
			continue
		}
		if some {
			s.text(separator(a.format))
		}
		some = true
		s.add(st)
	}
	s.text(tail(a.format, some, a.more()))
	return s.finish()
}

// stretchOf returns the entries of a leaf of v.
func stretchOf(v *listing.Version, l *index.Leaf, f format, c coding) (*stretch, error) {
	kept := &keptOf(v, l).packed[c][f]
	if s := kept.Load(); s != nil {
		return s, nil
	}
	text := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(text)
	text.Reset()
	if err := writeLeaf(text, v, l, f); err != nil {
		return nil, err
	}
	s, err := pack(text.Bytes(), c)
	if err == nil {
		kept.Store(s)
	}
	return s, err
}

var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

func pack(text []byte, c coding) (*stretch, error) {
	switch {
	case len(text) == 0:
		return new(stretch), nil
	case c == codingGzip:
		return deflate(text)
	default:
		return packZstd(text), nil
	}
}

func newStitcher(out io.Writer, c coding) stitcher {
	if c == codingGzip {
		return newGzipStitcher(out)
	}
	return &zstdStitcher{out: out}
}
