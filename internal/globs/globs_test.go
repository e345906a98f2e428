package globs

import (
	"slices"
	"testing"
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
