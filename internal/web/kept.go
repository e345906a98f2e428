package web

import (
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"scout/internal/index"
	"scout/internal/listing"
)

// What is made of a leaf of the merged index, as text or compressed, stays
// valid for as long as the leaf does, and is kept with it. So an answer with the
// whole list costs the rendering of what has changed since the last one, and the
// copying of the rest.
//
// Compressed stretches are small and always kept, text for as long as there is
// room, and from the second time on that it is asked for: that of a leaf which
// changes before each answer would be garbage at once. Of a list that is far too
// large for the room little would be kept, which saves no time to speak of:
// nothing is.
//
// The room is what leaves a scoutmaster that answers several clients at once some
// margin to 100 MiB more than it had while idle.
const (
	textRoom  = 94 << 20
	textShare = 8  // of the memory that the process may have text takes one part in so many
	textEntry = 64 // bytes to reckon an entry with before it is made
)

// kept is what was made of a leaf. It is immutable, but for what it points to
// being replaced by whoever makes more of the leaf.
type kept struct {
	masked uint64      // Version.Masked, on which all of it depends
	asked  atomic.Bool // for its text
	size   measured    // of its text, once that is known; only who makes texts has to do with it
	text   atomic.Pointer[text]
	packed [codingCount]perFormat[stretch]
}

// text is the entries of a leaf in JSON, each with a comma before it.
type text struct{ json []byte }

// keptOf returns what was made of a leaf of v.
func keptOf(v *listing.Version, l *index.Leaf) *kept {
	if k, ok := l.Memo.Load().(*kept); ok && k.masked == v.Masked() {
		return k
	}
	k := &kept{masked: v.Masked()}
	l.Memo.Store(k)
	return k
}

// room is how many bytes of text may still be kept.
type room struct {
	size   int64
	making sync.Mutex // held while a text is made, and while garbage is collected for it
	left   atomic.Int64

	collected time.Time // when garbage was last collected for want of room
	took      time.Duration
	revision  uint64 // of the list then
}

// collectShare is how much longer than the last time took at least passes before
// garbage is collected for want of room once more.
const collectShare = 50

// roomForText returns as much as the limit of the process's memory leaves for it:
// what is listed goes before what makes it quick to read.
func roomForText() *room {
	return newRoom(min(textRoom, debug.SetMemoryLimit(-1)/textShare))
}

func newRoom(size int64) *room {
	r := &room{size: size}
	r.left.Store(size)
	return r
}

// suits reports whether most of the text of v would fit into an empty room.
func (r *room) suits(v *listing.Version) bool { return int64(v.Len) <= r.size/textEntry }

// take returns a text with room for so many bytes, or nil when there is none. The
// room is free again when the text is garbage.
func (r *room) take(size int64) *text {
	if r.left.Add(-size) < 0 {
		r.left.Add(size)
		return nil
	}
	t := &text{make([]byte, 0, size)}
	runtime.AddCleanup(t, func(size int64) { r.left.Add(size) }, size)
	return t
}

// collect is called when there is no room for a text of v. Garbage may take it: a
// list that changes leaves some behind, but little else is done that would make
// the collector come.
func (r *room) collect(v *listing.Version) {
	began := time.Now()
	if v.Revision == r.revision || began.Sub(r.collected) < collectShare*r.took {
		return
	}
	runtime.GC()
	r.collected, r.revision = time.Now(), v.Revision
	r.took = r.collected.Sub(began)
}

// writeAll writes all entries in JSON, of which none is in a run. It reports
// whether there were some.
func (r *renderer) writeAll(out io.Writer, v *listing.Version) (some bool, err error) {
	for _, leaf := range v.Leaves() {
		entries := separated{out: out, first: !some}
		if err := r.writeLeaf(&entries, v, leaf); err != nil {
			return some, err
		}
		some = some || !entries.first
	}
	return some, nil
}

// writeLeaf writes the entries of a leaf.
func (r *renderer) writeLeaf(out *separated, v *listing.Version, l *index.Leaf) error {
	k := keptOf(v, l)
	t := k.text.Load()
	if t == nil && r.room.suits(v) && k.asked.Swap(true) {
		t = r.keep(k, v, l)
	}
	if t != nil {
		return out.writeText(t.json)
	}
	return writeLeaf(out, v, l, formatJSON)
}

// keep makes the text of a leaf to be kept. It returns nil when there is no room,
// or while a text is made for another client. The entries are rendered twice, the
// first time to be measured: what else is allocated on the way would be garbage in
// the room's place.
func (r *renderer) keep(k *kept, v *listing.Version, l *index.Leaf) *text {
	if !r.room.making.TryLock() {
		return nil
	}
	defer r.room.making.Unlock()
	if t := k.text.Load(); t != nil {
		return t
	}
	if k.size == 0 {
		k.size = 1 // a comma
		if err := writeLeaf(&k.size, v, l, formatJSON); err != nil {
			return nil
		}
	}
	if k.size == 1 {
		return nil // none of it is shown
	}
	t := r.room.take(int64(k.size))
	if t == nil {
		r.room.collect(v)
		return nil
	}
	t.json = append(t.json, ',')
	if err := writeLeaf(t, v, l, formatJSON); err != nil {
		return nil
	}
	k.text.Store(t)
	return t
}

// Write appends what is rendered.
func (t *text) Write(p []byte) (int, error) {
	t.json = append(t.json, p...)
	return len(p), nil
}

// measured is how many bytes were written to it.
type measured int64

func (m *measured) Write(p []byte) (int, error) {
	*m += measured(len(p))
	return len(p), nil
}

// separated writes the entries of one leaf behind those of others.
type separated struct {
	out   io.Writer
	first bool // nothing was written yet, here or before
	begun bool // something was written here
}

// Write writes entries that have no comma before them.
func (s *separated) Write(p []byte) (int, error) {
	if !s.first && !s.begun {
		if _, err := s.out.Write([]byte{','}); err != nil {
			return 0, err
		}
	}
	s.first, s.begun = false, true
	return s.out.Write(p)
}

// writeText writes entries with a comma before them.
func (s *separated) writeText(p []byte) error {
	if s.first {
		p = p[1:]
	}
	s.first, s.begun = false, true
	_, err := s.out.Write(p)
	return err
}
