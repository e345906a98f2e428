package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// shortest is the least that a duration may be: below it a program would do
// nothing but what it is meant to do now and then.
const shortest = time.Millisecond

// Duration parses a span of time of at least a millisecond.
func Duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration such as 500ms, 1s or 2m", s)
	}
	if d < shortest {
		return 0, fmt.Errorf("%q is too short: give at least %s", s, shortest)
	}
	return d, nil
}

// mostCount is the largest number that a count may be.
const mostCount = 1_000_000

// Count parses a number of things, which may be none.
func Count(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > mostCount {
		return 0, fmt.Errorf("%q is not a number from 0 to %d", s, mostCount)
	}
	return n, nil
}

// OnOff parses the value of an on/off flag.
func OnOff(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "1", "t", "yes", "on":
		return true, nil
	case "false", "0", "f", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%q is neither true nor false", s)
}

// Path accepts anything, as file systems do.
func Path(s string) (string, error) { return s, nil }

// Text accepts UTF-8.
func Text(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("%q is not UTF-8", s)
	}
	return s, nil
}
