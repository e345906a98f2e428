// Package logging writes the log of both programs: one event a line, as JSON or
// for people, without ever blocking the program. It does not know what the
// programs log.
package logging

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Format is how events are written.
type Format string

// The formats.
const (
	JSON    Format = "json"    // one object a line, for programs
	Console Format = "console" // for people
)

// Formats are all formats.
var Formats = []string{string(JSON), string(Console)}

// ParseFormat parses the name of a format.
func ParseFormat(s string) (Format, error) {
	switch format := Format(s); format {
	case JSON, Console:
		return format, nil
	}
	return "", fmt.Errorf("%q is neither json nor console", s)
}

// DefaultFormat is the format of a log that is, or is not, on a terminal.
func DefaultFormat(terminal bool) Format {
	if terminal {
		return Console
	}
	return JSON
}

// Levels are the levels that ParseLevel accepts.
var Levels = []string{"debug", "info", "warn", "error"}

// ParseLevel parses the name of a level.
func ParseLevel(s string) (zapcore.Level, error) {
	switch s {
	case "debug", "info", "warn", "error":
		return zapcore.ParseLevel(s)
	}
	return 0, fmt.Errorf("%q is none of debug, info, warn, error", s)
}

// New returns a logger that writes every event of the level and above to w, one
// a line. It does not sample: scripts may count events.
//
// If w is a [Writer], or a [Status] above one, the number of lines that it
// dropped is logged as soon as there is room, whatever the level.
func New(w Output, format Format, level zapcore.Level) *zap.Logger {
	encoder, out := newEncoder(format), zapcore.AddSync(w)
	w.onDropped(func(lines int) {
		entry := zapcore.Entry{Level: zapcore.WarnLevel, Time: time.Now(), Message: "log lines dropped"}
		line, err := encoder.EncodeEntry(entry, []zapcore.Field{zap.Int("lines", lines)})
		if err == nil {
			_, _ = out.Write(line.Bytes())
			line.Free()
		}
	})
	return zap.New(zapcore.NewCore(encoder, out, level), zap.ErrorOutput(out))
}
