package main

import (
	"fmt"
	"unicode/utf8"

	"scout/internal/stream"
)

// host reads a name to list files under. What every scoutmaster refuses is
// refused here, before anything is claimed.
func host(s string) (string, error) {
	if err := stream.CheckHost(s); err != nil {
		return "", fmt.Errorf("%.40q: %w: give another name", s, err)
	}
	return s, nil
}

// text accepts UTF-8.
func text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return s, nil
}
