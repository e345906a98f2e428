// Package natsserver runs NATS servers as processes, which can be killed, frozen
// and started again, with or without their data. It is for tests, measurements
// and demos: a fleet's own servers are its operator's.
package natsserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"scout/internal/freeport"
)

// Build builds nats-server into dir and returns its path. The version is pinned in
// tools/nats.
func Build(dir string) (string, error) {
	root, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	binary := filepath.Join(dir, "nats-server")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-modfile=tools/nats/go.mod", "-o", binary, "github.com/nats-io/nats-server/v2")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build nats-server: %w\n%s", err, out)
	}
	return binary, nil
}

// Server is one nats-server. Its address stays the same when it starts again.
type Server struct {
	command []string // that runs it, without arguments
	port    int
	dir     string   // has the configuration, the log and the data
	lines   []string // of the configuration that stay

	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// Config says which servers to start.
type Config struct {
	Binary  string   // of nats-server
	Enter   []string // the beginning of the command that runs it, such as one that enters a namespace
	Dir     string   // for their data
	Servers int      // a cluster if there are several
	Lines   []string // of each server's configuration, besides addresses and data
	Open    bool     // clients may connect from other machines
}

// Start starts servers and waits until they answer. Each has to be killed in the
// end. After an error none runs.
func Start(c Config) (servers []*Server, err error) {
	ports, err := freePorts(2 * c.Servers)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			for _, s := range servers {
				s.Kill()
			}
		}
	}()
	clients, routes := ports[:c.Servers], ports[c.Servers:]
	for i := range c.Servers {
		s := &Server{command: append(slices.Clip(c.Enter), c.Binary), port: clients[i], dir: filepath.Join(c.Dir, fmt.Sprint("n", i))}
		if err := s.configure(i, c, routes); err != nil {
			return servers, err
		}
		if err := s.Start(); err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	for _, s := range servers {
		if err := s.Await(); err != nil {
			return servers, err
		}
	}
	if len(servers) > 1 {
		return servers, servers[0].awaitLeader()
	}
	return servers, nil
}

// configure writes the configuration of the i-th server.
func (s *Server) configure(i int, c Config, routes []int) error {
	host := "127.0.0.1"
	if c.Open {
		host = "0.0.0.0"
	}
	s.lines = []string{
		fmt.Sprintf("server_name: n%d", i),
		fmt.Sprintf("listen: %s:%d", host, s.port),
		fmt.Sprintf("jetstream { store_dir: %q }", s.data()),
	}
	if len(routes) > 1 {
		urls := make([]string, len(routes))
		for n, port := range routes {
			urls[n] = fmt.Sprintf("nats://127.0.0.1:%d", port)
		}
		s.lines = append(s.lines, fmt.Sprintf("cluster { name: scout, listen: 127.0.0.1:%d, routes: [%s], no_advertise: true }",
			routes[i], strings.Join(urls, ", ")))
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return s.write(c.Lines)
}

func (s *Server) write(more []string) error {
	text := strings.Join(slices.Concat(s.lines, more), "\n") + "\n"
	return os.WriteFile(s.path("nats.conf"), []byte(text), 0o600)
}

// Reconfigure replaces the lines of the configuration that Config gave, in the
// server that runs.
func (s *Server) Reconfigure(lines ...string) error {
	if err := s.write(lines); err != nil {
		return err
	}
	return s.cmd.Process.Signal(syscall.SIGHUP)
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }
func (s *Server) data() string            { return s.path("data") }

// Log is the file with the server's log.
func (s *Server) Log() string { return s.path("log") }

// Address is where clients connect.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// URL is the address as clients of NATS write it.
func (s *Server) URL() string { return "nats://" + s.Address() }

// PID identifies the process of a server that runs.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Start starts the server, which does not run.
func (s *Server) Start() error {
	out, err := os.OpenFile(s.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // the process has its own descriptor
	args := append(slices.Clip(s.command), "-c", s.path("nats.conf"))
	s.cmd = exec.CommandContext(context.Background(), args[0], args[1:]...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	endWithParent(s.cmd)
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	s.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { // ends with the process, which Kill ends
		_ = cmd.Wait()
		close(done)
	}(s.cmd, s.done)
	return nil
}

// Kill ends the process with SIGKILL.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
}

// Freeze stops the process with SIGSTOP, Thaw lets it go on.
func (s *Server) Freeze() { _ = s.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() { _ = s.cmd.Process.Signal(syscall.SIGCONT) }

// Erase removes the data of a server that does not run.
func (s *Server) Erase() error { return os.RemoveAll(s.data()) }

// startTime is how long a server may take to answer on a busy machine.
const startTime = time.Minute

// Await waits until the server accepts connections.
func (s *Server) Await() error {
	var d net.Dialer
	for began := time.Now(); time.Since(began) < startTime; time.Sleep(20 * time.Millisecond) {
		conn, err := d.DialContext(context.Background(), "tcp", s.Address())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-s.done:
			out, _ := os.ReadFile(s.path("log"))
			return fmt.Errorf("nats-server has ended:\n%s", out)
		default:
		}
	}
	return fmt.Errorf("nats-server at %s does not answer", s.URL())
}

// awaitLeader waits until the cluster has elected a leader: until then a request to
// JetStream is not answered. A cluster that lets only known users in cannot be
// asked.
func (s *Server) awaitLeader() error {
	nc, err := nats.Connect(s.URL())
	if errors.Is(err, nats.ErrAuthorization) {
		return nil
	}
	if err != nil {
		return err
	}
	defer nc.Close()
	for began := time.Now(); time.Since(began) < startTime; {
		if _, err = nc.Request("$JS.API.STREAM.NAMES", nil, time.Second); err == nil {
			return nil
		}
	}
	return fmt.Errorf("the cluster has no leader: %w", err)
}

// freePorts returns ports that nobody else takes, even while a server does not run.
func freePorts(n int) (ports []int, err error) {
	for range n {
		port, err := freeport.Reserve()
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}
