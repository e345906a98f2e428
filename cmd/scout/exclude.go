package main

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"scout/internal/globs"
)

// addExclude is the Set of the flag -exclude.
func (c *config) addExclude(s string) error {
	pattern, err := glob(s)
	if err == nil {
		c.exclude = append(c.exclude, pattern)
	}
	return err
}

// glob checks an exclude pattern. It refuses patterns that cannot match a path
// relative to the directory.
func glob(s string) (string, error) {
	switch {
	case !doublestar.ValidatePattern(s):
		return "", fmt.Errorf("%q is not a glob pattern: check its brackets, or put a backslash before what is meant literally", s)
	case strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../"):
		return "", fmt.Errorf("%q can match nothing: patterns are relative to the directory, as in **/*.tmp", s)
	case strings.HasSuffix(s, "/"):
		return "", fmt.Errorf("%q can match nothing: leave out the slash at its end", s)
	}
	return s, nil
}

// splitGlobs splits a list of patterns. It omits empty ones, as after a comma at
// the end.
func splitGlobs(list string) (patterns []string) {
	for _, p := range globs.Split(list) {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}
