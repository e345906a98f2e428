package cli

import (
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// logFormat is how events are written.
type logFormat string

const (
	jsonFormat    logFormat = "json"    // an object a line, for programs
	consoleFormat logFormat = "console" // for people
)

func parseFormat(s string) (logFormat, error) {
	switch format := logFormat(s); format {
	case jsonFormat, consoleFormat:
		return format, nil
	}
	return "", fmt.Errorf("%q is neither json nor console", s)
}

func parseLevel(s string) (zapcore.Level, error) {
	switch s {
	case "debug", "info", "warn", "error":
		return zapcore.ParseLevel(s)
	}
	return 0, fmt.Errorf("%q is none of debug, info, warn, error", s)
}

// logOptions is what every program can be told of its log.
type logOptions struct {
	level  zapcore.Level
	format logFormat
}

const logFormatFlag = "log-format"

func (o *logOptions) flags(terminal bool) []Flag {
	return []Flag{
		{
			Name: "log-level", Value: "LEVEL", Default: "info",
			Usage: "what is logged, on standard error: debug, info, warn or error",
			Set:   To(&o.level, parseLevel), Choices: []string{"debug", "info", "warn", "error"},
		},
		{
			Name: logFormatFlag, Value: "FORMAT", Default: string(defaultFormat(terminal)), DefaultText: "console on a terminal, else json",
			Usage: "how it is logged: json (an object a line) or console", Choices: []string{string(jsonFormat), string(consoleFormat)},
			Set: To(&o.format, parseFormat),
		},
	}
}

func defaultFormat(terminal bool) logFormat {
	if terminal {
		return consoleFormat
	}
	return jsonFormat
}

// formatInForce finds the format for saying that the command line or the
// environment is wrong: the one that was asked for as far as that can be told.
// args are as join returns them.
func (p Program) formatInForce(args []string, sys system) logFormat {
	asked := sys.getenv(p.env(Flag{Name: logFormatFlag}))
	for _, arg := range args {
		if value, ok := strings.CutPrefix(arg, "-"+logFormatFlag+"="); ok {
			asked = value
		}
	}
	if format, err := parseFormat(asked); err == nil {
		return format
	}
	return defaultFormat(sys.terminal)
}

// newLogger writes every event of the level and above to w, one a line.
// Nothing is sampled: who counts events may rely on it.
func newLogger(w io.Writer, format logFormat, level zapcore.Level) *zap.Logger {
	out := zapcore.Lock(zapcore.AddSync(w))
	return zap.New(zapcore.NewCore(newEncoder(format), out, level), zap.ErrorOutput(out))
}

func newEncoder(format logFormat) zapcore.Encoder {
	config := zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		MessageKey:     "msg",
		NameKey:        "logger",
		EncodeTime:     zapcore.TimeEncoderOfLayout("2006-01-02T15:04:05.000Z07:00"),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
	if format == jsonFormat {
		return safeEncoder{zapcore.NewJSONEncoder(config)}
	}
	config.EncodeDuration = zapcore.StringDurationEncoder
	config.ConsoleSeparator = "  "
	return safeEncoder{consoleEncoder{zapcore.NewConsoleEncoder(config)}}
}
