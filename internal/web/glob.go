package web

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/bmatcuk/doublestar/v4"
)

// Bounds on what one request may have matched against every name: the work for
// a glob grows with its length and with the product of its alternatives.
const (
	maxGlobs        = 32
	maxGlobLen      = 1024
	maxAlternatives = 256
)

// glob is a pattern on filenames, as doublestar has it. It sees a name as it is
// shown: a byte that is not UTF-8 is one U+FFFD.
type glob struct {
	pattern string
	prefix  []byte // of every name that matches
	suffix  []byte // likewise
	within  []byte // in every name that matches
	enough  bool   // every name with both, the one behind the other, matches
}

// parseGlob checks a pattern. What could never match a filename is a mistake,
// and refused.
func parseGlob(s string) (glob, error) {
	switch {
	case s == "":
		return glob{}, fmt.Errorf("is empty; leave it out to ask for all")
	case len(s) > maxGlobLen:
		return glob{}, fmt.Errorf("a pattern has %d bytes; at most %d are allowed", len(s), maxGlobLen)
	case !utf8.ValidString(s):
		return glob{}, fmt.Errorf("%.40q is not UTF-8; prefix takes any bytes, and ? matches one", s)
	case !doublestar.ValidatePattern(s):
		return glob{}, fmt.Errorf("%.40q is not a glob pattern: check its brackets, or put a backslash before what is meant literally", s)
	case alternatives(s) > maxAlternatives:
		return glob{}, fmt.Errorf("%.40q has more than %d combinations of alternatives; give it in parts", s, maxAlternatives)
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../"):
		return glob{}, fmt.Errorf("%.40q can match nothing: filenames are relative to the directory, as in **/*.tmp", s)
	case strings.HasSuffix(s, "/") && !strings.HasSuffix(s, "**/"):
		return glob{}, fmt.Errorf("%.40q can match nothing: leave out the slash at its end, or put ** behind it", s)
	}
	if dir, end, ok := anywhereIn(s); ok {
		return glob{pattern: s, prefix: []byte(dir), suffix: []byte(end), enough: true}, nil
	}
	return glob{pattern: s, prefix: literalPrefix(s), suffix: literalSuffix(s), within: literalWithin(s)}, nil
}

// anywhereIn takes apart what is asked for most: dir/**/*end, all names in a
// directory and below that end so.
func anywhereIn(s string) (dir, end string, ok bool) {
	dir, end, ok = strings.Cut(s, "**/*")
	return dir, end, ok && (dir == "" || strings.HasSuffix(dir, "/")) &&
		!strings.ContainsAny(dir, metas) && !strings.ContainsAny(end, metas+"/")
}

// metas are the characters that do not stand for just themselves.
const metas = "*?[{\\\ufffd"

// alternatives returns at least how many patterns without braces a pattern is
// tried as, or more than maxAlternatives.
func alternatives(s string) int {
	product, commas, class := 1, []int(nil), false
	for i := 0; i < len(s) && product <= maxAlternatives; i++ {
		switch c := s[i]; {
		case c == '\\':
			i++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '{' && !class:
			commas = append(commas, 0)
		case c == ',' && len(commas) > 0:
			commas[len(commas)-1]++
		case c == '}' && !class && len(commas) > 0:
			product *= max(2, commas[len(commas)-1]+1)
			commas = commas[:len(commas)-1]
		}
	}
	return product
}

// literalPrefix returns what every name that matches begins with.
func literalPrefix(s string) []byte {
	i := strings.IndexAny(s, metas)
	if i < 0 {
		return []byte(s)
	}
	if s[i] == '*' || s[i] == '{' {
		return []byte(strings.TrimSuffix(s[:i], "/")) // dir/** matches dir
	}
	return []byte(s[:i])
}

// literalSuffix returns what every name that matches ends with.
func literalSuffix(s string) []byte {
	if strings.Contains(s, "\\") {
		return nil
	}
	i := strings.LastIndexAny(s, "*?]}\ufffd")
	if i >= 0 && s[i] >= utf8.RuneSelf {
		i += len("\ufffd") - 1
	}
	return []byte(strings.TrimPrefix(s[i+1:], "/")) // **/name matches name
}

// literalWithin returns the longest text that is in every name that matches.
func literalWithin(s string) (longest []byte) {
	if strings.ContainsAny(s, "[{\\\ufffd") {
		return nil // what stands in there may be left out, or stand for something else
	}
	for run := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == '*' || r == '?' }) {
		if run = strings.Trim(run, "/"); len(run) > len(longest) { // a/**/b matches a/b
			longest = []byte(run)
		}
	}
	return longest
}

// matches reports whether the whole name matches. Most names do not, and most of
// these are told without the matcher.
func (g *glob) matches(name []byte) bool {
	if !bytes.HasPrefix(name, g.prefix) || !bytes.HasSuffix(name, g.suffix) {
		return false
	}
	if g.enough {
		return len(name) >= len(g.prefix)+len(g.suffix)
	}
	if !bytes.Contains(name, g.within) {
		return false
	}
	return doublestar.MatchUnvalidated(g.pattern, unsafe.String(unsafe.SliceData(name), len(name))) //nolint:gosec // it is only read, and not kept
}
