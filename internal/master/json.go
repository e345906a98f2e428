package master

import (
	"encoding/base64"
	"unicode/utf8"

	"scout/internal/files"
)

// sourceFormat is what every entry of a source has in common, rendered once.
type sourceFormat struct {
	// json is what follows the filename's string in a JSON entry, up to and
	// with the closing brace.
	json []byte
}

func formatOf(o files.Origin) sourceFormat {
	p := append([]byte(nil), `,"host":`...)
	p = appendJSONString(p, []byte(o.Host))
	p = append(p, `,"directory":`...)
	p = appendJSONString(p, []byte(o.Directory))
	if !utf8.ValidString(o.Directory) {
		p = append(p, `,"directory_base64":`...)
		p = appendBase64(p, []byte(o.Directory))
	}
	return sourceFormat{json: append(p, '}')}
}

// appendJSONEntry appends one entry of the list.
func appendJSONEntry(p, name []byte, f *sourceFormat) []byte {
	p = append(p, `{"filename":`...)
	p = appendJSONString(p, name)
	if !utf8.Valid(name) {
		p = append(p, `,"filename_base64":`...)
		p = appendBase64(p, name)
	}
	return append(p, f.json...)
}

// plain[c] says that the byte c stands for itself in a JSON string, and is
// ASCII.
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf-1; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendJSONString appends s as a JSON string. A byte that is not UTF-8
// becomes one U+FFFD. Control characters, C1's too, are escaped, so that a name
// cannot talk to the terminal that it is printed on.
func appendJSONString(p, s []byte) []byte {
	p = append(p, '"')
	i := 0
	for i < len(s) && plain[s[i]] {
		i++
	}
	p = append(p, s[:i]...)
	for i < len(s) {
		if c := s[i]; plain[c] {
			p = append(p, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		p = appendJSONRune(p, r)
		i += n
	}
	return append(p, '"')
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

func appendBase64(p, s []byte) []byte {
	p = append(p, '"')
	p = base64.StdEncoding.AppendEncode(p, s)
	return append(p, '"')
}
