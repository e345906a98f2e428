package main

import (
	"strings"

	"scout/internal/glob"
)

// addExclude is the Set of the flag -exclude.
func (c *config) addExclude(s string) error {
	if _, err := glob.Parse(s); err != nil {
		return err
	}
	c.exclude = append(c.exclude, s)
	return nil
}

// splitGlobs splits a list of patterns. It omits empty ones, as after a comma at
// the end.
func splitGlobs(list string) (patterns []string) {
	for _, p := range glob.Split(list) {
		if p = strings.TrimSpace(p); p != "" {
			patterns = append(patterns, p)
		}
	}
	return patterns
}
