package cli

import (
	stdlog "log"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"
)

// Library returns a logger for what a library has to say, from level warn on.
// Libraries put everything into the message; here the message is the
// library's name, and the text is the field "detail".
func Library(log *zap.Logger, name string) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return libraryCore{core, name} }))
}

// StdLog is Library for a library that writes to a logger of the standard
// library. Everything that such a library says is a warning.
func StdLog(log *zap.Logger, name string) *stdlog.Logger {
	std, err := zap.NewStdLogAt(Library(log, name), zap.WarnLevel)
	if err != nil {
		panic(err) // only an unknown level is an error
	}
	return std
}

// libraryCore moves the message of every event into a field, and drops those
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
	for _, known := range knownOtherwise {
		if strings.Contains(entry.Message, known) {
			return nil
		}
	}
	fields = append([]zapcore.Field{zap.String("detail", entry.Message)}, fields...)
	entry.Message = c.name
	return c.Core.Write(entry, fields)
}

// knownOtherwise is in what grpc has to say of things that are logged already
// by those whom they concern: a client that broke off in the middle of a call,
// and a server that is not there.
var knownOtherwise = []string{"failed to write status", "createTransport failed to connect"}

// redirectGRPC sends grpc's own log to ours. It must come before any use of
// grpc, which reads its logger without a lock.
func redirectGRPC(log *zap.Logger) {
	grpclog.SetLoggerV2(zapgrpc.NewLogger(Library(log, "grpc")))
}
