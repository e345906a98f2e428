package stream

import (
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"scout/internal/files"
	scoutv1 "scout/proto/scout/v1"
)

const (
	maxHost      = 255  // bytes
	maxDirectory = 4096 // bytes
	maxVersion   = 64   // characters
	maxReason    = 512  // characters
)

// checkHello returns a violation if h breaks a rule.
func checkHello(h *scoutv1.Hello) error {
	if h == nil {
		return violation("the first message must be a Hello")
	}
	if err := CheckHost(h.GetHost()); err != nil {
		return err
	}
	return checkDirectory(h.GetDirectory())
}

// CheckHost returns an error if host is not a valid host name for a scout.
func CheckHost(host string) error {
	switch {
	case host == "":
		return violation("the host is empty")
	case len(host) > maxHost:
		return violation("the host is longer than %d bytes", maxHost)
	case !utf8.ValidString(host):
		return violation("the host is not UTF-8")
	case strings.ContainsFunc(host, unicode.IsControl):
		return violation("the host has control characters")
	}
	return nil
}

// checkDirectory is strict because directories are compared by their bytes: two
// spellings of a directory would be two directories.
func checkDirectory(dir []byte) error {
	switch {
	case len(dir) == 0 || dir[0] != '/':
		return violation("the directory is not an absolute path")
	case len(dir) > maxDirectory:
		return violation("the directory is longer than %d bytes", maxDirectory)
	case strings.ContainsRune(string(dir), 0):
		return violation("the directory has a NUL")
	case path.Clean(string(dir)) != string(dir):
		return violation("the directory is not clean: it should be %.200q", path.Clean(string(dir)))
	}
	return nil
}

func origin(h *scoutv1.Hello) files.Origin {
	return files.Origin{Host: h.GetHost(), Directory: string(h.GetDirectory())}
}

const (
	// MinHeartbeat is the shortest heartbeat that a master may request. More than a
	// hundred beats a second are useless.
	MinHeartbeat = 10 * time.Millisecond
	// MaxDeadline is the longest deadline. A master that is silent for more than a
	// day is gone.
	MaxDeadline = 24 * time.Hour
)

// CheckTiming returns an error if no session can work with these values.
func CheckTiming(heartbeat, deadline time.Duration) error {
	switch {
	case heartbeat < MinHeartbeat:
		return fmt.Errorf("the heartbeat of %v is below %v", heartbeat, MinHeartbeat)
	case deadline <= heartbeat:
		return fmt.Errorf("the deadline of %v is not greater than the heartbeat of %v", deadline, heartbeat)
	case deadline > MaxDeadline:
		return fmt.Errorf("the deadline of %v is above %v", deadline, MaxDeadline)
	}
	return nil
}

// oneLine returns text as one line of UTF-8 without control characters, with at most
// this number of characters, for the wire, the log and statuses.
func oneLine(text string, most int) string {
	if text == "" {
		return ""
	}
	printable := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	line := []rune(strings.Map(printable, text))
	return string(line[:min(len(line), most)])
}
