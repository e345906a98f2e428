// Package debughttp serves a program's metrics and profiles over HTTP, each on a
// listener of its own. It knows neither which metrics there are nor what the
// program does.
package debughttp

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"go.uber.org/zap"

	"scout/cmd/internal/logging"
	"scout/cmd/internal/netflags"
	"scout/internal/hostport"
)

// Every phase of a connection has a deadline.
const (
	headerTime = 5 * time.Second
	readTime   = 10 * time.Second // header and body
	idleTime   = time.Minute      // longer than the usual scrape intervals
	// answerTime bounds an answer. A profile or a trace takes as many seconds as
	// its request says, and must be shorter.
	answerTime = 2 * time.Minute
)

// Server serves one handler on one listener. A nil Server serves nothing.
type Server struct {
	listener net.Listener
	server   *http.Server
}

// Listen opens the address of a flag. Run serves h there. Without an address
// Listen returns nil.
func Listen(ctx context.Context, flag, address string, h http.Handler, log *zap.Logger) (*Server, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // a nil Server serves nothing
	}
	l, err := netflags.Listen(ctx, flag, address)
	if err != nil {
		return nil, err
	}
	log.Info("listening", zap.String("for", flag), zap.Stringer("address", l.Addr()))
	if hostport.IsLoopback(l.Addr().String()) {
		h = localOnly(h)
	}
	return &Server{l, newServer(h, log)}, nil
}

// localOnly rejects requests of web pages that have made their own name resolve
// to this machine.
func localOnly(h http.Handler) http.Handler {
	names := hostport.LocalNames()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !names.Contain(r.Host) {
			http.Error(w, "this listener does not answer to the host name of the request: use localhost", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func newServer(h http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ConnState:         (&connections{active: make(map[net.Conn]bool)}).changed,
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       readTime,
		WriteTimeout:      answerTime,
		IdleTimeout:       idleTime,
		ErrorLog:          logging.StdLog(log, "http"),
	}
}

// Run serves until ctx is done. It then closes all connections at once.
func (s *Server) Run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { s.server.Close() }) //nolint:errcheck // the process is about to end
	defer stop()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
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

// Profiles serves Go's profiles at /debug/pprof/. They show the contents of
// memory, so only this machine may reach them.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
