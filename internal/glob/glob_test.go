package glob

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/bmatcuk/doublestar/v4"
)

func TestSplit(t *testing.T) {
	for list, want := range map[string][]string{
		"":                 {""},
		"a":                {"a"},
		"a,b":              {"a", "b"},
		"a,,b,":            {"a", "", "b", ""},
		"*.{o,tmp},x":      {"*.{o,tmp}", "x"},
		"[a,b]{c,{d,e}},f": {"[a,b]{c,{d,e}}", "f"},
		`a\,b,c\`:          {`a\,b`, `c\`},
		"},a":              {"}", "a"},
		"{a,b":             {"{a,b"},
	} {
		if got := Split(list); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", list, got, want)
		}
	}
}

func TestParse(t *testing.T) {
	for pattern, want := range map[string]string{
		"*.tmp": "", "**/cache": "", "a/**/": "", "{a,b}/[!c]?": "", `\\*`: "",
		"":                         "is empty",
		"[":                        "not a glob pattern",
		"a{b":                      "not a glob pattern",
		"\xff*":                    "not UTF-8",
		"/srv/*":                   "can match nothing",
		"./a":                      "can match nothing",
		"../a":                     "can match nothing",
		"a//b":                     "can match nothing",
		"a/./b":                    "can match nothing",
		"**/..":                    "can match nothing",
		".":                        "can match nothing",
		"logs/":                    "leave out the slash",
		strings.Repeat("x", 1025):  "at most 1024",
		strings.Repeat("{a,b}", 9): "combinations of alternatives",
	} {
		_, err := Parse(pattern)
		if (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: %v, want %q", pattern, err, want)
		}
	}
}

// What is known of all names that match must be true of each.
func FuzzGlob(f *testing.F) {
	for _, g := range []string{
		"**", "*", "a", "a/*", "a/**", "logs/**", "**/b", "*/*", "?", "**/a*", "[!a]*", "{a,logs}/**", "a{,/**}", "**/{b,é}",
		`\*`, "l*/**/b", "\ufffd", "**/\ufffd", "logs{,.old}/*", "**/**", "logs/**/**", "a/**/", "x{a,b}", "*.b", "**/*.b", "**/*", "logs/**/*", "a/**/*b", "a/**/*/b", "x**/*b", "{a,b}/**/*b", "**/*[b]", "**/*b/**",
	} {
		f.Add(g, "a/b")
		f.Add(g, "logs")
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := Parse(pattern)
		if err != nil || len(name) > 100 || name == "" { // no file's name is empty
			return
		}
		matches := doublestar.MatchUnvalidated(pattern, name)
		if g.Match([]byte(name)) != matches {
			t.Fatalf("%q matches %q: %v; prefix %q, suffix %q", pattern, name, matches, g.prefix, g.suffix)
		}
		if matches && !bytes.HasPrefix([]byte(name), g.prefix) {
			t.Fatalf("%q matches %q, which does not begin with %q", pattern, name, g.prefix)
		}
	})
}
