package web

import (
	"encoding/base64"
	"encoding/binary"
	"io"
	"unicode/utf8"

	"scout/internal/files"
	"scout/internal/index"
	"scout/internal/listing"
)

// The list is jsonHead, entries that begin with jsonOpen and are separated by
// commas, and jsonTail, or jsonNone when there are none.
const (
	jsonHead = `{"files":[`
	jsonOpen = "\n" + `{"filename":"`
	jsonNext = "," + jsonOpen
	jsonTail = "\n]}"
	jsonNone = "]}"
)

// tails are what follows a filename, from its closing quote to the opening
// quote of the next entry's filename, by the number of the source: two copies
// make an entry. That of a source that is not shown is nil. They are padded.
type tails [][]byte

// tailsOf returns the tails of a Version's sources, which keep them.
func tailsOf(v *listing.Version) tails {
	sources := v.Sources()
	if t, ok := sources.Memo.Load().(tails); ok {
		return t
	}
	t := make(tails, sources.Numbers())
	for n := range t {
		if s := sources.Shown(uint32(n)); s != nil {
			t[n] = tailOf(s)
		}
	}
	sources.Memo.Store(t)
	return t
}

// tailOf returns the tail of a source, which keeps it: sources come and go more
// often than each of them is new.
func tailOf(s *listing.Source) []byte {
	t, ok := s.Memo.Load().([]byte)
	if !ok {
		t = renderTail(s.Origin)
		s.Memo.Store(t)
	}
	return t
}

func renderTail(o files.Origin) []byte {
	p := append([]byte(nil), `","host":"`...)
	p = appendJSONText(p, []byte(o.Host))
	p = append(p, `","directory":"`...)
	p = appendJSONText(p, []byte(o.Directory))
	if !utf8.ValidString(o.Directory) {
		p = append(p, `","directory_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, []byte(o.Directory))
	}
	return padded(append(p, `"}`+jsonNext...))
}

func jsonEnd(some bool) string {
	if some {
		return jsonTail
	}
	return jsonNone
}

// Entries are written in pieces so large that what a piece costs is little
// beside its bytes. A run of entries with names of common lengths fits into the
// margin.
const (
	pieceSize   = 256 << 10
	pieceMargin = 32 << 10
)

// writeEntries writes the entries that q selects, as jsonOpen and the commas
// between entries have it. It reports whether there were some.
func writeEntries(out io.Writer, v *listing.Version, q *query) (some bool, err error) {
	j := newJSONEntries(v)
	for s := newSelection(v, q); s.Next(); some = true {
		j.add(s.Name(), s.Owner())
		if len(j.buf) >= pieceSize {
			if err := j.flush(out); err != nil {
				return true, err
			}
		}
	}
	if !some {
		return false, nil
	}
	return true, j.flush(out)
}

// writeLeaf is writeEntries for all entries of a leaf.
func writeLeaf(out io.Writer, v *listing.Version, l *index.Leaf) (some bool, err error) {
	j := newJSONEntries(v)
	for run := range l.Runs() {
		if !j.addRun(run) {
			for e := v.EntriesOf(run.Entries()); e.Next(); {
				j.add(e.Name(), e.Owner())
			}
		}
		if len(j.buf) >= pieceSize {
			some = true
			if err := j.flush(out); err != nil {
				return some, err
			}
		}
	}
	if !some && len(j.buf) == len(jsonOpen) {
		return false, nil
	}
	return true, j.flush(out)
}

func newJSONEntries(v *listing.Version) jsonEntries {
	return jsonEntries{tails: tailsOf(v), buf: append(make([]byte, 0, pieceSize+pieceMargin), jsonOpen...)}
}

// jsonEntries renders entries. Its buffer ends with what opens the next one.
type jsonEntries struct {
	buf   []byte
	tails tails
}

// flush writes what is rendered, but for what opens the next entry.
func (j *jsonEntries) flush(out io.Writer) error {
	_, err := out.Write(j.buf[:len(j.buf)-len(jsonNext)])
	j.buf = append(j.buf[:0], jsonNext...)
	return err
}

// addRun renders a run of entries. It is the fast way: a name's shared part
// is copied from the line before, and only what follows is looked at. It gives
// up, having rendered nothing, when a name has to be escaped or a source is not
// shown.
func (j *jsonEntries) addRun(r index.Run) bool {
	buf := j.buf[:cap(j.buf)]
	n, last := len(j.buf), len(j.buf) // where the line begins, and the one before
	data, owner, tail := r.Data, r.Owner, []byte(nil)
	if !r.Mixed {
		tail = j.tails[owner]
	}
	for range r.Len {
		shared, rest, o, behind := index.Decode(data, r.Mixed)
		data = behind
		if r.Mixed && (o != owner || tail == nil) {
			owner, tail = o, j.tails[o]
		}
		if tail == nil {
			return false
		}
		if need := n + shared + len(rest) + len(tail) + copyAhead; need > len(buf) {
			buf = append(buf, make([]byte, need)...)
			buf = buf[:cap(buf)]
		}
		line := n
		copyShort(buf[n:], buf[last:], shared)
		n += shared
		copyRest(buf[n:], rest, data)
		if !isPlain(buf[n:], len(rest)) {
			return false
		}
		n += len(rest)
		copyPadded(buf[n:], tail)
		n += len(tail)
		last = line
	}
	j.buf = buf[:n]
	return true
}

// copyAhead is how much further than they have to the functions below may
// write: to copy a fixed size is several times as fast as to copy just enough.
const copyAhead = 64

// copyShort copies n bytes, which are seldom more than 32.
func copyShort(to, from []byte, n int) {
	if n <= 32 {
		*(*[32]byte)(to) = *(*[32]byte)(from)
	} else {
		copy(to, from[:n])
	}
}

// copyRest copies rest, which is seldom more than 16 bytes long and has behind
// behind it in memory.
func copyRest(to, rest, behind []byte) {
	if len(rest) <= 16 && len(rest)+len(behind) >= 16 {
		*(*[16]byte)(to) = *(*[16]byte)(rest[:16])
	} else {
		copy(to, rest)
	}
}

// copyPadded copies from, which has room for a multiple of copyAhead.
func copyPadded(to, from []byte) {
	for i := 0; i < len(from); i += copyAhead {
		*(*[copyAhead]byte)(to[i:]) = *(*[copyAhead]byte)(from[i : i+copyAhead])
	}
}

// padded returns p with room for a multiple of copyAhead.
func padded(p []byte) []byte {
	size := (len(p) + copyAhead - 1) / copyAhead * copyAhead
	return append(make([]byte, 0, size), p...)
}

// add renders an entry.
func (j *jsonEntries) add(name []byte, owner uint32) {
	j.buf = appendJSONText(j.buf, name)
	if !utf8.Valid(name) {
		j.buf = append(j.buf, `","filename_base64":"`...)
		j.buf = base64.StdEncoding.AppendEncode(j.buf, name)
	}
	j.buf = append(j.buf, j.tails[owner]...)
}

// isPlain reports whether the first n bytes are ASCII that stands for itself in a
// JSON string. It looks at eight bytes at a time, and so needs seven more behind
// them: the high bit of a byte of x is set when that byte is not plain.
func isPlain(p []byte, n int) bool {
	const ones = 0x0101010101010101
	for i := 0; i < n; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		if left := n - i; left < 8 {
			over := ^uint64(0) << (8 * left)
			w = w&^over | ' '*ones&over
		}
		x := w | (w + ones) | (w - ' '*ones) | ((w ^ '"'*ones) - ones) | ((w ^ '\\'*ones) - ones)
		if x&(0x80*ones) != 0 {
			return false
		}
	}
	return true
}

// plain[c] says that the byte c stands for itself in a JSON string, and is
// ASCII.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf-1; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendJSONText appends what stands for s between the quotes of a JSON string. A
// byte that is not UTF-8 becomes one U+FFFD. Control characters, C1's too, are
// escaped, so that a name cannot talk to the terminal that it is printed on.
func appendJSONText(p, s []byte) []byte {
	for len(s) > 0 {
		n := 0
		for n < len(s) && plain[s[n]] {
			n++
		}
		if p, s = append(p, s[:n]...), s[n:]; len(s) == 0 {
			break
		}
		r, n := utf8.DecodeRune(s)
		p = appendJSONRune(p, r)
		s = s[n:]
	}
	return p
}

func appendJSONRune(p []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(p, '\\', byte(r))
	case r == '\n':
		return append(p, `\n`...)
	case r == '\t':
		return append(p, `\t`...)
	case r < ' ' || 0x7f <= r && r < 0xa0:
		const hex = "0123456789abcdef"
		return append(p, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
	}
	return utf8.AppendRune(p, r)
}
