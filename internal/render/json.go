package render

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"unicode"
	"unicode/utf8"

	"scout/internal/files"
	"scout/internal/index"
)

// A list in JSON is jsonHead, entries, and what jsonEnd returns.
const jsonHead = `{"files":[`

// jsonEnd returns what follows the entries, if there are some. more are further
// members.
func jsonEnd(some bool, more string) string {
	end := "]" + more + "}"
	if some {
		return "\n" + end
	}
	return end
}

// jsonStyle is how entries in JSON are put together: what opens the first one's
// filename, what stands between two entries and opens the next one's, and how many
// bytes at the end of that belong to the next.
type jsonStyle struct {
	open, next string
	held       int
}

var jsonStyles = [formatCount]jsonStyle{
	JSON:   {"\n" + jsonOpen, ",\n" + jsonOpen, len(",\n" + jsonOpen)},
	NDJSON: {jsonOpen, "\n" + jsonOpen, len(jsonOpen)},
}

const jsonOpen = `{"filename":"`

// jsonEntries renders entries in JSON. Its fragments are what follows a filename
// up to the beginning of the next, so that two copies make an entry, and its
// buffer ends with what opens the next one.
type jsonEntries struct {
	buffer
	tails fragments
	held  int    // bytes at the buffer's end that are not written yet
	name  []byte // the last one that addRun has rendered, with copyAhead bytes behind it
}

func newJSONEntries(tails fragments, f Format) *jsonEntries {
	style := &jsonStyles[f]
	j := &jsonEntries{buffer: newBuffer(), tails: tails, held: style.held, name: make([]byte, 2*copyAhead)}
	j.buf = append(j.buf, style.open...)
	return j
}

// flush writes what is rendered, but for what opens the next entry.
func (j *jsonEntries) flush(out io.Writer) error {
	written := len(j.buf) - j.held
	_, err := out.Write(j.buf[:written])
	j.buf = append(j.buf[:0], j.buf[written:]...)
	return err
}

// addRun renders a run of entries. It is the fast way: only what a name does not
// share with the one before is looked at, and what is copied is small and in the
// processor's nearest cache. It gives up, having rendered nothing, when a name has
// to be escaped or a source is not shown.
func (j *jsonEntries) addRun(r index.Run) bool {
	buf, n := j.buf[:cap(j.buf)], len(j.buf)
	name, data, at := j.name, r.Data, 0
	var tail []byte
	if !r.Mixed {
		tail = j.tails[r.Owner]
	}
	for range r.Len {
		shared, rest := int(data[at]), int(data[at+1])
		if shared|rest < 0x80 {
			at += 2
		} else {
			shared, rest, at = index.Lengths(data, at)
		}
		size := shared + rest
		if rest > 0 {
			if size+copyAhead > len(name) {
				name = append(name, make([]byte, size+copyAhead)...)
				j.name = name
			}
			copyRest(name[shared:], data, at, rest)
			if !isPlain(name[shared:], rest) {
				return false
			}
			at += rest
		}
		if r.Mixed {
			owner := int(data[at])
			if owner < 0x80 {
				at++
			} else {
				owner, at = index.Number(data, at)
			}
			tail = j.tails[owner]
		}
		if tail == nil {
			return false
		}
		if need := n + size + len(tail) + copyAhead; need > len(buf) {
			buf = append(buf, make([]byte, need)...)
			buf = buf[:cap(buf)]
		}
		copyShort(buf[n:], name, size)
		n += size
		copyShort(buf[n:], tail, len(tail))
		n += len(tail)
	}
	j.buf = buf[:n]
	return true
}

// copyAhead is how many bytes more than they have to the functions below may
// read and write: to copy a fixed size is several times as fast as to copy just
// enough.
const copyAhead = 64

// copyShort copies the first n bytes of from, which are seldom more than copyAhead.
func copyShort(to, from []byte, n int) {
	if n <= copyAhead {
		*(*[copyAhead]byte)(to) = *(*[copyAhead]byte)(from[:copyAhead])
	} else {
		copy(to, from[:n])
	}
}

// copyRest copies n bytes at data[at], which are seldom more than 32.
func copyRest(to, data []byte, at, n int) {
	if n <= 32 && at+32 <= len(data) {
		*(*[32]byte)(to) = *(*[32]byte)(data[at:])
	} else {
		copy(to, data[at:at+n])
	}
}

// padded returns p with room for copyAhead bytes behind it.
func padded(p []byte) []byte {
	return append(make([]byte, 0, len(p)+copyAhead), p...)
}

// add renders an entry.
func (j *jsonEntries) add(name []byte, owner uint32) {
	n, tail := len(j.buf), j.tails[owner]
	j.buf = append(slices.Grow(j.buf, len(name)+8+len(tail)), name...)
	if !isPlain(j.buf[n:cap(j.buf)], len(name)) {
		j.buf = appendJSONName(j.buf[:n], name)
	}
	j.buf = append(j.buf, tail...)
}

// appendJSONOrigin appends what follows the text of a filename in an entry.
func appendJSONOrigin(p []byte, o files.Origin) []byte {
	p = append(p, `","host":"`...)
	p = appendJSONText(p, []byte(o.Host))
	p = append(p, `","directory":"`...)
	p = appendJSONText(p, []byte(o.Directory))
	if !utf8.ValidString(o.Directory) {
		p = append(p, `","directory_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, []byte(o.Directory))
	}
	return append(p, `"}`...)
}

// appendJSONName appends what stands for a filename between the opening quote
// and the closing one of what follows it.
func appendJSONName(p, name []byte) []byte {
	p = appendJSONText(p, name)
	if !utf8.Valid(name) {
		p = append(p, `","filename_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, name)
	}
	return p
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
// byte that is not UTF-8 becomes one U+FFFD. What steers a terminal
// or the direction of writing is escaped.
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
	case steers(r):
		return fmt.Appendf(p, `\u%04x`, r)
	}
	return utf8.AppendRune(p, r)
}

// steers reports whether a character is not to be seen, and instead ends a line,
// turns the direction of what follows, or talks to the terminal.
func steers(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029'
}
