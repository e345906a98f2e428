package master

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"unicode/utf8"

	"scout/internal/files"
)

// sourceFormat is what every entry of a source has in common, rendered once.
type sourceFormat struct {
	// json is what follows a filename, from its closing quote to the opening
	// quote of the next entry's filename: two copies make an entry.
	json []byte
}

// What comes before the first filename and between the entries of the list.
const (
	jsonHead = `{"files":[`
	jsonOpen = "\n" + `{"filename":"`
	jsonNext = "," + jsonOpen
	jsonTail = "\n]}"
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

// jsonList renders entries into a buffer.
type jsonList struct {
	buf   []byte
	plain int // how many leading bytes of the last name stand for themselves
}

// begin starts the list.
func (j *jsonList) begin() { j.buf = append(j.buf, jsonHead+jsonOpen...) }

// add appends an entry of which the name's first shared bytes are those of the
// last one's.
func (j *jsonList) add(name []byte, shared int, f *sourceFormat) {
	if from := min(shared, j.plain); isPlain(name, from) {
		j.plain = len(name)
		j.buf = append(j.buf, name...)
	} else {
		j.plain = 0
		j.addEscaped(name)
	}
	j.buf = append(j.buf, f.json...)
}

func (j *jsonList) addEscaped(name []byte) {
	j.buf = appendJSONText(j.buf, name)
	if !utf8.Valid(name) {
		j.buf = append(j.buf, `","filename_base64":"`...)
		j.buf = base64.StdEncoding.AppendEncode(j.buf, name)
	}
}

// done returns what is rendered and final.
func (j *jsonList) done() []byte { return j.buf[:len(j.buf)-len(jsonNext)] }

// next forgets what is done, and goes on with the next entry.
func (j *jsonList) next() { j.buf = append(j.buf[:0], jsonNext...) }

// end closes the list and returns what is left of it.
func (j *jsonList) end() []byte {
	j.buf = bytes.TrimSuffix(j.buf, []byte(jsonOpen))
	j.buf = bytes.TrimSuffix(j.buf, []byte(","))
	if string(j.buf) == jsonHead {
		return append(j.buf, "]}"...)
	}
	return append(j.buf, jsonTail...)
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
