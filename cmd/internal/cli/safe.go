package cli

import (
	"bytes"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
)

// safeEncoder keeps from whoever looks at the log on a terminal what others put
// into their names to steer it: zap lets control characters beyond ASCII pass,
// and those that change the direction of text or are not seen. They become the
// escapes of JSON, so that a program that parses the log reads the same as
// ever.
type safeEncoder struct{ zapcore.Encoder }

func (s safeEncoder) Clone() zapcore.Encoder { return safeEncoder{s.Encoder.Clone()} }

func (s safeEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := s.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(line.Bytes(), []byte("\n"))
	if bytes.IndexFunc(text, steers) < 0 {
		return line, nil
	}
	escaped := escape(string(text))
	line.Reset()
	_, err = line.Write(append(escaped, '\n'))
	return line, err
}

// steers reports whether a terminal could do something else with r than show it.
func steers(r rune) bool { return !unicode.IsPrint(r) }

// escape writes what steers a terminal as JSON does.
func escape(text string) (out []byte) {
	for _, r := range text {
		switch {
		case !steers(r):
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
