package main

import (
	"fmt"
	"unicode/utf8"

	"scout/internal/stream"
)

// host parses the name that files are listed under. It refuses the names that
// every scoutmaster refuses.
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
