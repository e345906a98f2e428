package master

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"io"
	"unicode/utf8"

	"scout/internal/files"
)

// sourceFormat is what every entry of a source has in common, rendered once.
type sourceFormat struct {
	// json is what follows a filename, from its closing quote to the opening
	// quote of the next entry's filename: two copies make an entry.
	json []byte
}

// The list is jsonHead, entries that begin with jsonOpen and are separated by
// commas, and jsonTail, or jsonNone when there are none.
const (
	jsonHead = `{"files":[`
	jsonOpen = "\n" + `{"filename":"`
	jsonNext = "," + jsonOpen
	jsonTail = "\n]}"
	jsonNone = "]}"
)

func formatOf(o files.Origin) sourceFormat {
	p := append([]byte(nil), `","host":"`...)
	p = appendJSONText(p, []byte(o.Host))
	p = append(p, `","directory":"`...)
	p = appendJSONText(p, []byte(o.Directory))
	if !utf8.ValidString(o.Directory) {
		p = append(p, `","directory_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, []byte(o.Directory))
	}
	return sourceFormat{json: append(p, `"}`+jsonNext...)}
}

func jsonEnd(some bool) string {
	if some {
		return jsonTail
	}
	return jsonNone
}

// Entries are written in pieces so large that what a piece costs is little
// beside its bytes. One with a name of common length fits into the margin.
const (
	pieceSize   = 128 << 10
	pieceMargin = 4 << 10
)

// writeEntries writes the entries whose names have one of the prefixes, which
// ascend, as jsonOpen and the commas between entries have it. It reports
// whether there were some.
func writeEntries(out io.Writer, e *Entries, prefixes [][]byte) (some bool, err error) {
	j := jsonEntries{buf: append(make([]byte, 0, pieceSize+pieceMargin), jsonOpen...)}
	for _, prefix := range prefixes {
		e.Seek(prefix)
		for e.Next() && bytes.HasPrefix(e.Name(), prefix) {
			some = true
			j.add(e.Name(), e.Shared(), &e.source().format)
			if len(j.buf) >= pieceSize {
				if err := j.flush(out); err != nil {
					return some, err
				}
			}
		}
		j.plain = 0
	}
	if !some {
		return false, nil
	}
	return true, j.flush(out)
}

// jsonEntries renders entries. Its buffer ends with what opens the next one.
type jsonEntries struct {
	buf   []byte
	plain int // how many leading bytes of the last name stand for themselves
}

// flush writes what is rendered, but for what opens the next entry.
func (j *jsonEntries) flush(out io.Writer) error {
	_, err := out.Write(j.buf[:len(j.buf)-len(jsonNext)])
	j.buf = append(j.buf[:0], jsonNext...)
	return err
}

// add renders an entry of which the name's first shared bytes are those of the
// last one's.
func (j *jsonEntries) add(name []byte, shared int, f *sourceFormat) {
	if from := min(shared, j.plain); isPlain(name, from) {
		j.plain = len(name)
		j.buf = append(j.buf, name...)
	} else {
		j.plain = 0
		j.addEscaped(name)
	}
	j.buf = append(j.buf, f.json...)
}

func (j *jsonEntries) addEscaped(name []byte) {
	j.buf = appendJSONText(j.buf, name)
	if !utf8.Valid(name) {
		j.buf = append(j.buf, `","filename_base64":"`...)
		j.buf = base64.StdEncoding.AppendEncode(j.buf, name)
	}
}

// isPlain reports whether name[from:] is ASCII that stands for itself in a JSON
// string, given that name[:from] is. It looks at eight bytes at a time: the high
// bit of a byte of x is set when that byte is not plain.
func isPlain(name []byte, from int) bool {
	const ones = 0x0101010101010101
	n := len(name)
	if n < 8 {
		for _, c := range name[from:] {
			if !plain[c] {
				return false
			}
		}
		return true
	}
	for i := from; i < n; i += 8 {
		w := binary.LittleEndian.Uint64(name[min(i, n-8):])
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
		if plain[s[0]] {
			p = append(p, s[0])
			s = s[1:]
			continue
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
