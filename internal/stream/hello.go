package stream

import (
	"strings"
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

// checkHello is nil when h may register.
func checkHello(h *scoutv1.Hello) error {
	if h == nil {
		return violation("the first message must be a Hello")
	}
	if err := CheckHost(h.GetHost()); err != nil {
		return err
	}
	return checkDirectory(h.GetDirectory())
}

// CheckHost is nil when a scout's files may be listed under that name.
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

func checkDirectory(dir []byte) error {
	switch {
	case len(dir) == 0 || dir[0] != '/':
		return violation("the directory is not an absolute path")
	case len(dir) > maxDirectory:
		return violation("the directory is longer than %d bytes", maxDirectory)
	case strings.ContainsRune(string(dir), 0):
		return violation("the directory has a NUL")
	}
	return nil
}

func origin(h *scoutv1.Hello) files.Origin {
	return files.Origin{Host: h.GetHost(), Directory: string(h.GetDirectory())}
}

// oneLine makes any text fit for the wire, a log and a status: one line of at
// most so many characters, in UTF-8 and without control characters.
func oneLine(text string, most int) string {
	printable := func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}
	line := []rune(strings.Map(printable, text))
	return string(line[:min(len(line), most)])
}
