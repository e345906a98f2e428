// Package natstest runs NATS servers for tests: real processes, which can be
// killed, frozen and started again, with or without their data.
package natstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// Server is one nats-server. Its address stays the same when it starts again.
type Server struct {
	tb     testing.TB
	binary string
	config string
	port   int
	log    string

	data string
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// URL returns the address that clients connect to.
func (s *Server) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", s.port) }

// Start starts n servers, a cluster if n > 1, and waits until they answer. They
// end with the test. settings are lines for each server's configuration.
func Start(tb testing.TB, n int, settings ...string) []*Server {
	tb.Helper()
	bin := binary(tb)
	ports := freePorts(tb, 2*n)
	routes := make([]string, n)
	for i := range n {
		routes[i] = fmt.Sprintf("nats://127.0.0.1:%d", ports[n+i])
	}
	servers := make([]*Server, n)
	for i := range n {
		dir := tb.TempDir()
		lines := []string{
			fmt.Sprintf("server_name: n%d", i),
			fmt.Sprintf("listen: 127.0.0.1:%d", ports[i]),
			fmt.Sprintf("jetstream { store_dir: %q }", filepath.Join(dir, "data")),
		}
		if n > 1 {
			lines = append(lines, fmt.Sprintf("cluster { name: scout, listen: 127.0.0.1:%d, routes: [%s] }", ports[n+i], strings.Join(routes, ", ")))
		}
		s := &Server{
			tb: tb, binary: bin, port: ports[i],
			config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "log"), data: filepath.Join(dir, "data"),
		}
		text := strings.Join(append(lines, settings...), "\n") + "\n"
		if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		servers[i] = s
		s.Start()
		tb.Cleanup(s.Kill)
	}
	for _, s := range servers {
		s.await()
	}
	if n > 1 {
		servers[0].awaitCluster()
	}
	return servers
}

// Start starts the server again.
func (s *Server) Start() {
	s.tb.Helper()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer out.Close() //nolint:errcheck // the process has its own descriptor
	s.cmd = exec.CommandContext(context.Background(), s.binary, "-c", s.config)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	if err := s.cmd.Start(); err != nil {
		s.tb.Fatal(err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { // ends with the process, which Kill ends
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
}

// Kill ends the process with SIGKILL.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop ends the process with SIGTERM.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

func (s *Server) end(signal os.Signal) {
	_ = s.cmd.Process.Signal(signal)
	<-s.done
}

// Freeze stops the process with SIGSTOP, Thaw lets it go on.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Erase removes the data of a server that does not run.
func (s *Server) Erase() {
	s.tb.Helper()
	if err := os.RemoveAll(s.data); err != nil {
		s.tb.Fatal(err)
	}
}

// await waits until the server accepts connections.
func (s *Server) await() {
	s.tb.Helper()
	var d net.Dialer
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
		conn, err := d.DialContext(context.Background(), "tcp", "127.0.0.1:"+strconv.Itoa(s.port))
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-s.done:
			out, _ := os.ReadFile(s.log)
			s.tb.Fatalf("nats-server has ended:\n%s", out)
		default:
		}
	}
	s.tb.Fatalf("nats-server at %s does not answer", s.URL())
}

// awaitCluster waits until the cluster has elected a leader: until then a
// request to JetStream is not answered.
func (s *Server) awaitCluster() {
	s.tb.Helper()
	nc, err := nats.Connect(s.URL())
	if err != nil {
		s.tb.Fatal(err)
	}
	defer nc.Close()
	for began := time.Now(); time.Since(began) < time.Minute; {
		if _, err = nc.Request("$JS.API.STREAM.NAMES", nil, time.Second); err == nil {
			return
		}
	}
	s.tb.Fatalf("the cluster has no leader: %v", err)
}

// freePorts returns ports that nothing listens on now.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, n)
	listeners := make([]net.Listener, n)
	for i := range ports {
		var config net.ListenConfig
		l, err := config.Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		listeners[i], ports[i] = l, l.Addr().(*net.TCPAddr).Port
	}
	for _, l := range listeners {
		_ = l.Close()
	}
	return ports
}

var built string // the directory of the binary; written by build

var build = sync.OnceValues(func() (string, error) {
	root, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	dir, err := os.MkdirTemp("", "nats-server-")
	if err != nil {
		return "", err
	}
	built = dir
	bin := filepath.Join(dir, "nats-server")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-modfile=tools/nats/go.mod", "-o", bin, "github.com/nats-io/nats-server/v2")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return bin, nil
})

// binary returns the path of nats-server, which it builds once.
func binary(tb testing.TB) string {
	tb.Helper()
	bin, err := build()
	if err != nil {
		tb.Fatal(err)
	}
	return bin
}

// Cleanup removes what the package has built. A TestMain calls it at the end.
func Cleanup() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}
