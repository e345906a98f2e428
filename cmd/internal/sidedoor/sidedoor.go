// Package sidedoor serves what a program has to say of itself, beside what it is
// there for: its metrics and its profiles. It knows nothing of what they are about.
package sidedoor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"go.uber.org/zap"

	"scout/cmd/internal/cli"
)

const headerTime = 10 * time.Second

// Door is a handler that listens at an address of its own. A nil Door is one
// that nobody wanted.
type Door struct {
	listener net.Listener
	server   *http.Server
}

// Open listens at the address of a flag, and serves h there once Run does. Without an
// address it returns nil.
func Open(ctx context.Context, flag, address string, h http.Handler, log *zap.Logger) (*Door, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // a nil Door serves nothing, as was asked for
	}
	l, err := cli.Listen(ctx, flag, address)
	if err != nil {
		return nil, err
	}
	log.Info("listening", zap.String("for", flag), zap.Stringer("address", l.Addr()))
	return &Door{l, &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTime,
		ErrorLog:          zap.NewStdLog(cli.Library(log, "http")),
	}}, nil
}

// Run serves until ctx is done, and cuts off what is not answered then.
func (d *Door) Run(ctx context.Context) error {
	if d == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { d.server.Close() }) //nolint:errcheck // the process is about to end
	defer stop()
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Metrics serves h at /metrics.
func Metrics(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	return mux
}

// Profiles serves Go's profiles at /debug/pprof/. They show what is in memory:
// whoever can ask is to be trusted with it.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
