package logging

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// evil is a hostile name: it ends lines, clears the screen in three ways, rings
// the bell, reverses text, hides it, and is not UTF-8.
const evil = "a\n\r\x1b[2J\u009b2J\x9b\x07\x7f\u202e\u2066\u200b\u2028\U000e0001\xff\"\\z"

// Whatever names contain, a terminal shows the log's lines as they are, and a
// program reads the original names from JSON.
func TestHostileNames(t *testing.T) {
	for _, format := range []Format{JSON, Console} {
		var out output
		log := New(&out, format, zapcore.DebugLevel).With(zap.String("host", evil))
		log.Info("scout registered", zap.String("directory", evil), zap.ByteString("bytes", []byte(evil)), zap.Strings("names", []string{evil}),
			zap.Any("any", map[string]string{evil: evil}), zap.Stringer("stringer", stringer(evil)), zap.NamedError("reason", errors.New(evil)))
		log.Error("failed", zap.Error(fmt.Errorf("open %s: %w", evil, errors.New(evil))))
		Library(log, "grpc").Warn(evil, zap.String("key", evil))

		lines := strings.Split(out.String(), "\n")
		if len(lines) != 4 || lines[3] != "" {
			t.Errorf("%s: %q", format, lines)
		}
		for _, line := range lines[:3] {
			for _, r := range line {
				if !unicode.IsPrint(r) {
					t.Errorf("%s: %U in %q", format, r, line)
				}
			}
			if format == Console {
				continue
			}
			var event map[string]any
			if err := json.Unmarshal([]byte(line), &event); err != nil || event["host"] != string([]rune(evil)) {
				t.Errorf("%q: %v", line, err)
			}
		}
	}
}

type stringer string

func (s stringer) String() string { return string(s) }
