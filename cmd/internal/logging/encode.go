package logging

import (
	"bytes"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

func newEncoder(format Format) zapcore.Encoder {
	config := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		MessageKey:     "msg",
		NameKey:        "logger",
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	if format == JSON {
		return safeEncoder{zapcore.NewJSONEncoder(config)}
	}
	config.EncodeDuration = zapcore.StringDurationEncoder
	config.ConsoleSeparator = "  "
	return safeEncoder{consoleEncoder{zapcore.NewConsoleEncoder(config)}}
}

// consoleEncoder writes the error of an event behind its message, where people
// expect it, instead of in a quoted field.
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

// printable escapes every character that could end the line or control a
// terminal: errors quote file names and messages of peers.
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

// safeEncoder protects the terminal of the log's reader from names that others
// have chosen. zap passes control characters beyond ASCII, invisible ones, and
// those that change the direction of text. They become JSON escapes, so a
// program that parses the log reads the original names.
type safeEncoder struct{ zapcore.Encoder }

func (s safeEncoder) Clone() zapcore.Encoder { return safeEncoder{s.Encoder.Clone()} }

func (s safeEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := s.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(line.Bytes(), []byte("\n"))
	if bytes.IndexFunc(text, unprintable) < 0 {
		return line, nil
	}
	escaped := escape(string(text))
	line.Reset()
	_, err = line.Write(append(escaped, '\n'))
	return line, err
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// escape writes unprintable characters as JSON escapes.
func escape(text string) (out []byte) {
	for _, r := range text {
		switch {
		case !unprintable(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = appendEscape(appendEscape(out, high), low)
		default:
			out = appendEscape(out, r)
		}
	}
	return out
}

func appendEscape(out []byte, r rune) []byte {
	digits := strconv.FormatUint(uint64(0x10000|r), 16)[1:] // four of them
	return append(append(out, '\\', 'u'), digits...)
}
