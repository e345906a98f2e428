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
	if l.isWhole() && (l.Coding != Identity || r.segments.holdsHalf(l)) {
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
	leaves := &separated{w: w, separator: separator(l.Format)}
	for _, leaf := range l.Version.Leaves() {
		leaves.begun = false
		if err := r.writeSegment(leaves, l, leaf); err != nil {
			return err
		}
	}
	if err := w.text(tail(l.Format, leaves.some, l.More)); err != nil {
		return err
	}
	return w.finish()
}

// separated writes the segments of leaves behind each other.
type separated struct {
	w         segmentWriter
	separator string
	size      int64 // of the text so far
	some      bool  // a segment was written
	begun     bool  // a segment of this leaf was written
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
	s.size += next.size
	return s.w.add(next)
}

// Write adds a piece of a leaf's text that is not compressed.
func (s *separated) Write(p []byte) (int, error) {
	return len(p), s.add(&segment{data: p, size: int64(len(p))})
}

// writeSegment writes the entries of a leaf in the coding of the list.
func (r *Renderer) writeSegment(out *separated, l *List, leaf *index.Leaf) error {
	key := newSegmentKey(l, leaf)
	if l.Coding == Identity && !r.cachesText(key, out.size) {
		return r.writeLeaf(out, l, leaf)
	}
	return out.add(r.segments.get(key, func() *segment { return r.newLeafSegment(l, leaf) }))
}

// cachesText reports whether the text of a leaf that is not compressed and begins at
// a position of the list is to be cached. It is from the second time on, because
// the text of a leaf that changes before each answer would be garbage at once. Of a
// list that does not fit, the beginning is: if all of it were, each answer would
// evict what the next one needs.
func (r *Renderer) cachesText(key segmentKey, at int64) bool {
	return at < r.segments.textBudget() && r.segments.asked(key)
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
