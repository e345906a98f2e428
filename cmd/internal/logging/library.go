package logging

import (
	stdlog "log"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zapgrpc"
	"google.golang.org/grpc/grpclog"

	"scout/internal/throttle"
)

// Library returns a logger for the messages of a library, from level warn on.
// Libraries put everything into the message. Here the message is the library's
// name, and the library's text is the field "detail".
func Library(log *zap.Logger, name string) *zap.Logger {
	return log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core { return libraryCore{core, name} }))
}

// StdLog is Library for a library that uses the standard library's logger.
// Everything that it logs is a warning. Peers can cause such lines, so of lines that
// begin alike only the first and the last of each interval are written. The field
// `withheld` is the number of lines before the last that were not.
func StdLog(log *zap.Logger, name string) *stdlog.Logger {
	return stdlog.New(&stdWriter{log: Library(log, name), limits: make(map[string]*throttle.Latest)}, "", 0)
}

const (
	stdInterval = 10 * time.Second
	// stdKinds is how many kinds of lines are told apart. All others are one kind.
	stdKinds = 32
	// stdWords is how many words of a line say what kind it is, as in "http: TLS
	// handshake error from ...".
	stdWords = 3
)

// stdWriter writes the lines of a standard library's logger. They are complete.
type stdWriter struct {
	log *zap.Logger

	mu     sync.Mutex
	limits map[string]*throttle.Latest // by the first words of the line
}

func (w *stdWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	w.limit(text).Do(func(withheld int) {
		if withheld > 0 {
			w.log.Warn(text, zap.Int("withheld", withheld))
			return
		}
		w.log.Warn(text)
	})
	return len(line), nil
}

func (w *stdWriter) limit(text string) *throttle.Latest {
	w.mu.Lock()
	defer w.mu.Unlock()
	words := strings.Fields(text)
	kind := strings.Join(words[:min(len(words), stdWords)], " ")
	if w.limits[kind] == nil && len(w.limits) >= stdKinds {
		kind = ""
	}
	if w.limits[kind] == nil {
		w.limits[kind] = &throttle.Latest{Interval: stdInterval}
	}
	return w.limits[kind]
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
