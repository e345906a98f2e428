package render

import (
	"bytes"
	"io"
	"sync"

	"scout/internal/index"
	"scout/internal/listing"
)

// Selection reads some entries of a Version, in order.
type Selection interface {
	// Next moves to the next entry and reports whether there is one.
	Next() bool
	// Name returns the filename. It is valid until the next call of Next.
	Name() []byte
	// Owner returns the number of the source.
	Owner() uint32
	// Err returns why Next has returned false before the end, or nil.
	Err() error
}

// List is a list to be written.
type List struct {
	Version *listing.Version
	// Selection has the entries. If it is nil, all entries of the Version are
	// written.
	Selection Selection
	Format    Format
	Coding    Coding
	More      string // further members of the object in JSON, each with a comma before it
}

// Renderer writes lists. Any goroutine may use it.
type Renderer struct {
	segments  *segmentCache
	fragments fragmentCache
}

// New returns a Renderer. Its cache takes at most an eighth of the memory limit
// of the process.
func New() *Renderer { return &Renderer{segments: newSegmentCache(cacheBudget())} }

// Write writes a list.
func (r *Renderer) Write(out io.Writer, l *List) error {
	if l.isWhole() && (l.Coding != Identity || r.segments.fits(l)) {
		return r.writeSegments(out, l)
	}
	return Compress(out, l.Coding, func(out io.Writer) error { return r.writePlain(out, l) })
}

// isWhole reports whether the list consists of the leaves of its Version.
func (l *List) isWhole() bool { return l.Selection == nil && l.Version.Merged() }

// writePlain writes a list without compressing it.
func (r *Renderer) writePlain(out io.Writer, l *List) error {
	if _, err := io.WriteString(out, head(l.Format)); err != nil {
		return err
	}
	some, err := r.writeEntries(out, l)
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, tail(l.Format, some, l.More))
	return err
}

func (r *Renderer) writeEntries(out io.Writer, l *List) (some bool, err error) {
	e := r.newEntries(l.Version, l.Format)
	defer e.release()
	switch {
	case l.isWhole():
		return writeLeaves(out, e, l.Version, l.Version.Leaves())
	case l.Selection == nil:
		return writeSelection(out, e, everything{l.Version.Entries()})
	}
	return writeSelection(out, e, l.Selection)
}

// everything selects all entries.
type everything struct{ *listing.Entries }

func (everything) Err() error { return nil }

// writeSegments writes a whole list, segment by segment.
func (r *Renderer) writeSegments(out io.Writer, l *List) error {
	w := newSegmentWriter(out, l.Coding)
	if err := w.text(head(l.Format)); err != nil {
		return err
	}
	some := false
	for _, leaf := range l.Version.Leaves() {
		next := &separated{w: w, separator: separator(l.Format), some: some}
		if err := r.writeSegment(next, l, leaf); err != nil {
			return err
		}
		some = next.some
	}
	if err := w.text(tail(l.Format, some, l.More)); err != nil {
		return err
	}
	return w.finish()
}

// separated writes the segments of one leaf behind those of others.
type separated struct {
	w         segmentWriter
	separator string
	some      bool // a segment was written, here or before
	begun     bool // a segment was written here
}

func (s *separated) add(next *segment) error {
	if next.size == 0 {
		return nil
	}
	if s.some && !s.begun {
		if err := s.w.text(s.separator); err != nil {
			return err
		}
	}
	s.some, s.begun = true, true
	return s.w.add(next)
}

// Write adds a piece of a leaf's text that is not compressed.
func (s *separated) Write(p []byte) (int, error) {
	return len(p), s.add(&segment{data: p, size: int64(len(p))})
}

// writeSegment writes the entries of a leaf in the coding of the list. Text that is
// not compressed is cached from the second time on, because the text of a leaf
// that changes before each answer would be garbage at once.
func (r *Renderer) writeSegment(out *separated, l *List, leaf *index.Leaf) error {
	key := newSegmentKey(l, leaf)
	if l.Coding == Identity && !r.segments.asked(key) {
		return r.writeLeaf(out, l, leaf)
	}
	return out.add(r.segments.get(key, func() *segment { return r.newLeafSegment(l, leaf) }))
}

// newLeafSegment returns the segment of a leaf.
func (r *Renderer) newLeafSegment(l *List, leaf *index.Leaf) *segment {
	text := scratch.Get().(*bytes.Buffer)
	defer scratch.Put(text)
	text.Reset()
	must(text, r.writeLeaf(text, l, leaf)) // a buffer takes everything
	return newSegment(text.Bytes(), l.Coding)
}

// writeLeaf renders the entries of a leaf.
func (r *Renderer) writeLeaf(out io.Writer, l *List, leaf *index.Leaf) error {
	e := r.newEntries(l.Version, l.Format)
	defer e.release()
	_, err := writeLeaves(out, e, l.Version, []*index.Leaf{leaf})
	return err
}

var scratch = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// head returns what comes before the entries.
func head(f Format) string {
	if f == JSON {
		return jsonHead
	}
	return ""
}

// separator returns what comes between the entries of two leaves.
func separator(f Format) string {
	if f == JSON {
		return ","
	}
	return ""
}

// tail returns what comes after the entries, if there are any.
func tail(f Format, some bool, more string) string {
	if f == JSON {
		return jsonEnd(some, more)
	}
	return ""
}
