package cli

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// consoleEncoder is zap's console with the error of an event behind its
// message, as people write it, in place of a quoted field.
type consoleEncoder struct{ zapcore.Encoder }

func (c consoleEncoder) Clone() zapcore.Encoder { return consoleEncoder{c.Encoder.Clone()} }

func (c consoleEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	at := slices.IndexFunc(fields, func(f zapcore.Field) bool { return f.Type == zapcore.ErrorType && f.Key == "error" })
	if at >= 0 {
		if err, ok := fields[at].Interface.(error); ok {
			entry.Message += ": " + printable(err.Error())
			fields = slices.Concat(fields[:at], fields[at+1:])
		}
	}
	return c.Encoder.EncodeEntry(entry, fields)
}

// printable escapes what could end the line or steer a terminal: errors quote
// names of files and what peers say.
func printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
	}
	return b.String()
}
