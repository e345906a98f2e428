// Package glob is the patterns that people write for filenames, hosts and
// directories: how lists of them are split, which patterns are refused, and which
// names match. The syntax is that of package doublestar.
package glob

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
	"unsafe"

	"github.com/bmatcuk/doublestar/v4"
)

// Bounds on a pattern that is matched against every name: the work for it grows
// with its length and with the product of its alternatives.
const (
	maxLen          = 1024
	maxAlternatives = 256
)

// Pattern is a glob pattern on paths relative to a directory. A byte of a path
// that is not UTF-8 counts as one U+FFFD.
type Pattern struct {
	text     string
	prefix   []byte // of every name that matches
	suffix   []byte // likewise
	within   []byte // in every name that matches
	suffices bool   // every name with both, the one behind the other, matches
}

// CheckSyntax returns an error, worded for people, if s is not a pattern.
func CheckSyntax(s string) error {
	switch {
	case s == "":
		return errors.New("a pattern is empty: write it, or leave it out")
	case !doublestar.ValidatePattern(s):
		return fmt.Errorf("%.40q is not a glob pattern: check its brackets, or put a backslash before what is meant literally", s)
	}
	return nil
}

// Parse parses a pattern on paths relative to a directory. Its error, worded for
// people, refuses patterns that no such path can match, too.
func Parse(s string) (Pattern, error) {
	if err := CheckSyntax(s); err != nil {
		return Pattern{}, err
	}
	switch {
	case len(s) > maxLen:
		return Pattern{}, fmt.Errorf("a pattern has %d bytes; at most %d are allowed", len(s), maxLen)
	case !utf8.ValidString(s):
		return Pattern{}, fmt.Errorf("%.40q is not UTF-8; ? matches a byte that is not", s)
	case alternatives(s) > maxAlternatives:
		return Pattern{}, fmt.Errorf("%.40q has more than %d combinations of alternatives; give it in parts", s, maxAlternatives)
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../"):
		return Pattern{}, fmt.Errorf("%.40q can match nothing: patterns are relative to the directory, as in **/*.tmp", s)
	case hasStrangePart(s):
		return Pattern{}, fmt.Errorf("%.40q can match nothing: no part of a path is empty, . or .., as in a/b", s)
	case strings.HasSuffix(s, "/") && !strings.HasSuffix(s, "**/"):
		return Pattern{}, fmt.Errorf("%.40q can match nothing: leave out the slash at its end, or put ** behind it", s)
	}
	if dir, end, ok := anywhereIn(s); ok {
		return Pattern{text: s, prefix: []byte(dir), suffix: []byte(end), suffices: true}, nil
	}
	return Pattern{text: s, prefix: literalPrefix(s), suffix: literalSuffix(s), within: literalWithin(s)}, nil
}

// hasStrangePart reports whether a part of s, between slashes, is one that no path
// has. It does not look into alternatives, one of which may match.
func hasStrangePart(s string) bool {
	if strings.ContainsAny(s, `{[\`) {
		return false
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(s, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return true
		}
	}
	return false
}

// String returns the pattern as it was parsed.
func (p *Pattern) String() string { return p.text }

// Prefix returns what every name that matches begins with.
func (p *Pattern) Prefix() []byte { return p.prefix }

// anywhereIn splits the most common pattern, dir/**/*end: all names in a directory
// and below it that end so.
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

// Match reports whether the whole name matches. It rejects most names without the
// matcher.
func (p *Pattern) Match(name []byte) bool {
	if !bytes.HasPrefix(name, p.prefix) || !bytes.HasSuffix(name, p.suffix) {
		return false
	}
	if p.suffices {
		return len(name) >= len(p.prefix)+len(p.suffix)
	}
	if !bytes.Contains(name, p.within) {
		return false
	}
	return doublestar.MatchUnvalidated(p.text, unsafe.String(unsafe.SliceData(name), len(name))) //nolint:gosec // it is only read, and not kept
}

// MatchString is Match for a string.
func (p *Pattern) MatchString(name string) bool {
	return p.Match(unsafe.Slice(unsafe.StringData(name), len(name))) //nolint:gosec // it is only read, and not kept
}
