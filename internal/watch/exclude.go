package watch

import (
	"fmt"

	"scout/internal/glob"
)

// excludes are glob patterns on paths relative to the watched directory.
type excludes []glob.Pattern

func parseExcludes(patterns []string) (excludes, error) {
	x := make(excludes, 0, len(patterns))
	for _, s := range patterns {
		p, err := glob.Parse(s)
		if err != nil {
			return nil, fmt.Errorf("exclude: %w", err)
		}
		x = append(x, p)
	}
	return x, nil
}

// match reports whether the path, of a file or a directory, is excluded.
func (x excludes) match(path string) bool {
	for i := range x {
		if x[i].MatchString(path) {
			return true
		}
	}
	return false
}

// matchAny reports whether the path, or a directory that it is in, is excluded.
func (x excludes) matchAny(path string) bool {
	for ; path != "" && len(x) > 0; path, _ = split(path) {
		if x.match(path) {
			return true
		}
	}
	return false
}
