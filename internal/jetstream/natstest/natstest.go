// Package natstest runs NATS servers for tests: real processes, which can be
// killed, frozen and started again, with or without their data.
package natstest

import (
	"os"
	"sync"
	"testing"

	"scout/internal/jetstream/natsserver"
)

// Server is one nats-server. Its address stays the same when it starts again.
type Server struct {
	*natsserver.Server

	tb testing.TB
}

// Start starts n servers, a cluster if n > 1, and waits until they answer. They
// end with the test. settings are lines for each server's configuration.
func Start(tb testing.TB, n int, settings ...string) []*Server {
	tb.Helper()
	bin, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	started, err := natsserver.Start(natsserver.Config{Binary: bin, Dir: tb.TempDir(), Servers: n, Lines: settings})
	if err != nil {
		tb.Fatal(err)
	}
	servers := make([]*Server, n)
	for i, s := range started {
		servers[i] = &Server{s, tb}
		tb.Cleanup(s.Kill)
	}
	return servers
}

// Start starts the server again.
func (s *Server) Start() {
	s.tb.Helper()
	if err := s.Server.Start(); err != nil {
		s.tb.Fatal(err)
	}
}

// Erase removes the data of a server that does not run.
func (s *Server) Erase() {
	s.tb.Helper()
	if err := s.Server.Erase(); err != nil {
		s.tb.Fatal(err)
	}
}

var built string // the directory of the binary; written by build

var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "nats-server-")
	if err != nil {
		return "", err
	}
	built = dir
	return natsserver.Build(dir)
})

// Cleanup removes what the package has built. A TestMain calls it at the end.
func Cleanup() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}
