package render

import (
	"io"
	"unicode/utf8"

	"scout/internal/index"
)

// pathEntries renders entries as absolute paths, each with a byte that ends it.
type pathEntries struct {
	buffer
	folders fragments
	end     byte
	exact   bool // bytes are as they are, else they are fit to be printed
}

func newPathEntries(folders fragments, f Format) *pathEntries {
	e := &pathEntries{buffer: newBuffer(), folders: folders, end: '\n'}
	if f == NUL {
		e.end, e.exact = 0, true
	}
	return e
}

func (e *pathEntries) add(name []byte, owner uint32) {
	e.buf = append(e.buf, e.folders[owner]...)
	if e.exact {
		e.buf = append(e.buf, name...)
	} else {
		e.buf = appendPrintable(e.buf, name)
	}
	e.buf = append(e.buf, e.end)
}

// addRun has no way that is faster than add.
func (e *pathEntries) addRun(index.Run) bool { return false }

func (e *pathEntries) flush(out io.Writer) error {
	_, err := out.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// appendPrintable appends s with a U+FFFD for each character that steers what it
// is printed on and each byte that is not UTF-8.
func appendPrintable(p, s []byte) []byte {
	for len(s) > 0 {
		n := 0
		for n < len(s) && ' ' <= s[n] && s[n] <= '~' {
			n++
		}
		if p, s = append(p, s[:n]...), s[n:]; len(s) == 0 {
			break
		}
		r, n := utf8.DecodeRune(s)
		if steers(r) {
			r = utf8.RuneError
		}
		p = utf8.AppendRune(p, r)
		s = s[n:]
	}
	return p
}
