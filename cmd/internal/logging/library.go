package logging

import (
	stdlog "log"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"
)

// Library returns a logger for the messages of a library, from level warn on.
// Libraries put everything into the message. Here the message is the library's
// name, and the library's text is the field "detail".
func Library(log *zap.Logger, name string) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return libraryCore{core, name} }))
}

// StdLog is Library for a library that uses the standard library's logger.
// Everything that it logs is a warning.
func StdLog(log *zap.Logger, name string) *stdlog.Logger {
	std, err := zap.NewStdLogAt(Library(log, name), zap.WarnLevel)
	if err != nil {
		panic(err) // only an unknown level is an error
	}
	return std
}

// libraryCore moves the message of every event into a field. It drops events
// below warn.
type libraryCore struct {
	zapcore.Core
	name string
}

func (c libraryCore) Enabled(level zapcore.Level) bool {
	return level >= zapcore.WarnLevel && c.Core.Enabled(level)
}

func (c libraryCore) With(fields []zapcore.Field) zapcore.Core {
	return libraryCore{c.Core.With(fields), c.name}
}

func (c libraryCore) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return checked.AddCore(entry, c)
}

func (c libraryCore) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	for _, part := range redundant {
		if strings.Contains(entry.Message, part) {
			return nil
		}
	}
	fields = append([]zapcore.Field{zap.String("detail", entry.Message)}, fields...)
	entry.Message = c.name
	return c.Core.Write(entry, fields)
}

// redundant are parts of grpc's messages about events that Scout itself logs: a
// client that broke off a call, and a server that cannot be reached.
var redundant = []string{"failed to write status", "createTransport failed to connect"}

// RedirectGRPC sends grpc's log to log. It must be called before grpc is used,
// which reads its logger without a lock.
func RedirectGRPC(log *zap.Logger) {
	grpclog.SetLoggerV2(zapgrpc.NewLogger(Library(log, "grpc")))
}
