package watch

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// excludes are glob patterns on paths relative to the watched directory.
type excludes []string

// parseExcludes checks the patterns. One that could never match is an error too.
func parseExcludes(patterns []string) (excludes, error) {
	x := make(excludes, 0, len(patterns))
	for _, p := range patterns {
		clean := strings.TrimSuffix(strings.TrimPrefix(p, "./"), "/")
		switch {
		case clean == "" || strings.HasPrefix(clean, "/"):
			return nil, fmt.Errorf("exclude pattern %q never matches: patterns are relative to the directory, like *.tmp or **/cache", p)
		case !doublestar.ValidatePattern(clean):
			return nil, fmt.Errorf("exclude pattern %q is not a valid glob: see to its brackets, braces and backslashes", p)
		}
		x = append(x, clean)
	}
	return x, nil
}

// match reports whether the path, of a file or a directory, is excluded.
func (x excludes) match(path string) bool {
	for _, pattern := range x {
		if doublestar.MatchUnvalidated(pattern, path) {
			return true
		}
	}
	return false
}
