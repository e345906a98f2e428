package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"scout/cmd/internal/logging"
	"scout/internal/access"
	"scout/internal/hostport"
	"scout/internal/web"
)

// idleTime is how long a consumer's connection is kept without a request.
const idleTime = 2 * time.Minute

// httpServer is the listener that consumers read from.
type httpServer struct {
	listener net.Listener
	server   *http.Server
	stopping atomic.Bool
	endWaits func() // of watchers and long polls
	log      *zap.Logger
}

// newHTTPServer returns the server of a listener. Run serves it.
func newHTTPServer(p parts) *httpServer {
	limited := access.Limit(web.ShortLoopbackQueues(p.http), p.config.limits.connectionsWithin(p.capacity.http), p.log.With(zap.String("listener", "http")))
	s := &httpServer{
		listener: limited,
		log:      p.log,
	}
	handler := web.NewHandler(p.list, p.registry, s.ready, web.Options{Watchers: p.config.watchers, Deadline: p.config.deadline}, p.log)
	handler.Also("/metrics", p.counts.Handler(logging.Library(p.log, "metrics")))
	admission := web.Admission{Host: p.hostCheck(p.http.Addr()), Capacity: limited.Refuse, Check: p.gate.Consumer}
	s.server = &http.Server{
		Handler:           web.Observe(admission.Admit(handler), p.counts),
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		TLSConfig:         p.gate.ConsumerTLS(),
		ErrorLog:          logging.StdLog(p.log, "http"),
	}
	s.endWaits = handler.EndWatching
	return s
}

// announceStop ends whatever waits for changes of the list, and is not ready from
// now on. The list is still served.
func (s *httpServer) announceStop() {
	s.stopping.Store(true)
	s.endWaits()
}

// hostCheck returns what a request's Host header must pass, or nil. Without tokens,
// a listener on loopback trusts everything on this machine, and web pages in a
// browser on this machine must not count as such.
func (p *parts) hostCheck(listener net.Addr) func(header string) bool {
	if p.config.files.HTTPTokens != "" || !hostport.IsLoopback(listener.String()) {
		return nil
	}
	return hostport.LocalNames(p.config.httpHosts...).Contain
}

// ready returns an error that says why the scoutmaster does not serve, whatever list
// it has, or nil.
func (s *httpServer) ready() error {
	if s.stopping.Load() {
		return errors.New("the scoutmaster is stopping")
	}
	return nil
}

// Run serves until ctx is done. Then it gives requests in flight finishTime to
// finish.
func (s *httpServer) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return ignore(s.serve(), http.ErrServerClosed) })
	group.Go(func() error {
		<-ctx.Done()
		s.announceStop() // or another part has failed
		return s.finish()
	})
	return group.Wait()
}

// serve serves HTTP, over TLS if the server has a configuration for it.
func (s *httpServer) serve() error {
	if s.server.TLSConfig != nil {
		return s.server.ServeTLS(s.listener, "", "")
	}
	return s.server.Serve(s.listener)
}

func (s *httpServer) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	err := s.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("requests cut off", zap.Duration("after", finishTime))
		return s.server.Close()
	}
	return err
}
