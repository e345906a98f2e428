// Package debughttp serves a program's metrics, health and profiles over HTTP, on
// listeners beside those of its work, and asks for the health of a program. It knows
// neither which metrics there are nor what the program does.
package debughttp

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/pprof"
	"slices"
	"sync"
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

// Protection decides who is served. The zero value serves everybody, in plaintext.
type Protection struct {
	TLS *tls.Config // nil: plaintext
	// Tokens reports whether Check asks for tokens. Without them a listener on
	// loopback answers only to names of this machine.
	Tokens bool
	// Check returns what is wrong with the credentials of a request, or nil. It may be
	// nil. /healthz and /readyz need none.
	Check func(*http.Request) error
}

// Listen opens the address of a flag. Run serves h there. Without an address
// Listen returns nil.
func Listen(ctx context.Context, flag, address string, h http.Handler, p Protection, log *zap.Logger) (*Server, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // a nil Server serves nothing
	}
	l, err := netflags.Listen(ctx, flag, address)
	if err != nil {
		return nil, err
	}
	log.Info("listening", zap.String("for", flag), zap.Stringer("address", l.Addr()))
	if p.Check != nil {
		h = p.admit(h)
	}
	if !p.Tokens && hostport.IsLoopback(l.Addr().String()) {
		h = localOnly(h)
	}
	s := &Server{l, newServer(h, log)}
	s.server.TLSConfig = p.TLS
	return s, nil
}

// admit rejects requests without valid credentials.
func (p Protection) admit(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		public := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if err := p.Check(r); err != nil && !public {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, err.Error()+": send Authorization: Bearer and a secret of the token file", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
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
	if err := s.serve(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (s *Server) serve() error {
	if s.server.TLSConfig != nil {
		return s.server.ServeTLS(s.listener, "", "")
	}
	return s.server.Serve(s.listener)
}

// Metrics serves h at /metrics, and the program's health at /healthz and /readyz.
func Metrics(h http.Handler, health Health) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", h)
	mux.Handle("GET /healthz", answerHealth(health.Alive))
	mux.Handle("GET /readyz", answerHealth(health.Ready))
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

// maxConnections bounds the open connections of a server, so that its clients
// take no descriptors that the program needs.
const maxConnections = 32

// connections are the open connections of a server. When there are too many, the
// one that has waited longest for a request is closed: a crowd of idle clients
// keeps nobody else out.
type connections struct {
	mu      sync.Mutex
	waiting []net.Conn        // for a request, the longest first
	active  map[net.Conn]bool // with a request
}

// changed is the server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, conn)
	c.waiting = slices.DeleteFunc(c.waiting, func(w net.Conn) bool { return w == conn })
	switch state {
	case http.StateActive:
		c.active[conn] = true
	case http.StateNew, http.StateIdle:
		c.waiting = append(c.waiting, conn)
	}
	if len(c.waiting) > 0 && len(c.waiting)+len(c.active) > maxConnections {
		c.waiting[0].Close() //nolint:errcheck // nobody uses it
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}
