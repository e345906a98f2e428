package main

import (
	"fmt"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// glob checks an exclude pattern. What could never match a path relative to
// the directory is a mistake, and refused.
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

// splitGlobs takes a list of patterns apart at its commas. Those within
// brackets or braces, or after a backslash, belong to a pattern. Empty
// patterns, as after a comma at the end, are left out.
func splitGlobs(list string) []string {
	var globs []string
	start, depth := 0, 0
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '\\':
			i++
		case '{', '[':
			depth++
		case '}', ']':
			depth = max(0, depth-1)
		case ',':
			if depth == 0 {
				globs = appendGlob(globs, list[start:i])
				start = i + 1
			}
		}
	}
	return appendGlob(globs, list[start:])
}

func appendGlob(globs []string, glob string) []string {
	if glob = strings.TrimSpace(glob); glob == "" {
		return globs
	}
	return append(globs, glob)
}
