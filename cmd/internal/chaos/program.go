//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"scout/cmd/internal/testfleet"
)

const (
	// startTime is how long a program may take to come up on a busy machine.
	startTime = 30 * time.Second
	// restartPause is how long a service manager waits before it starts a scout
	// again.
	restartPause = 200 * time.Millisecond
)

// program is a program that is started again and again. Faults of different kinds
// may use it at the same time.
type program struct {
	mu        sync.Mutex
	process   *testfleet.Process
	complaint []string // what the program has done that none may do
}

func (p *program) is(process *testfleet.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
}

// current returns the process that runs, or the last one that did.
func (p *program) current() *testfleet.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.process
}

func (p *program) pause() error   { return p.current().Pause() }
func (p *program) unpause() error { return p.current().Continue() }

// kill ends the program with SIGKILL and waits for its end.
func (p *program) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inspect()
	if err := p.process.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("it has ended by itself: %w", err)
	}
	p.process.Kill()
	return nil
}

// stop ends the program with SIGTERM, which must work.
func (p *program) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process.Continue() //nolint:errcheck // Terminate says it
	code, err := p.process.Terminate()
	if err != nil || code != 0 {
		p.complain(fmt.Sprintf("told to stop: exit code %d, %v: %s", code, err, p.process.Tail()))
	}
	p.inspect()
	return err
}

func (p *program) complain(text string) { p.complaint = append(p.complaint, text) }

// inspect checks the log for lines that must never be there.
func (p *program) inspect() {
	for _, line := range p.process.Stray() {
		p.complain("wrote " + line)
	}
	for _, e := range p.process.Events() {
		switch e.Msg() {
		case "protocol violation", "copy differs", "failed", "changes do not fit", "list differs":
			p.complain(fmt.Sprint("logged ", e))
		}
	}
	p.inspectAnswers()
}

// inspectAnswers checks that no master's answer made no sense.
func (p *program) inspectAnswers() {
	for _, e := range p.process.Events() {
		if strings.Contains(e.Text("error")+e.Text("reason"), "a Welcome that makes sense") {
			p.complain(fmt.Sprint("logged ", e))
		}
	}
}

// master is a scoutmaster, which always has the same addresses.
type master struct {
	program

	programs   testfleet.Programs
	args       []string
	shares     bool   // it is one of several that share a list
	grpc, http string // addresses; "" until it was started
}

func (m *master) start() error {
	args := m.args
	if m.http != "" {
		args = append(slices.Clip(args), "-grpc", m.grpc, "-http", m.http)
	}
	started, err := m.programs.StartMaster(args...)
	for limit := time.Now().Add(returnTime); errors.Is(err, io.EOF) && m.shares && time.Now().Before(limit); {
		time.Sleep(restartPause) // it exits while its log has no majority
		started, err = m.programs.StartMaster(args...)
	}
	if err != nil {
		return err
	}
	m.is(started.Process)
	if m.http == "" { // consumers read the addresses from the first start on
		m.grpc, m.http = started.GRPC, started.HTTP
	}
	return nil
}

// link is the network between a scout and the master.
type link interface {
	Close()
	// address returns the master's address for the scout.
	address() string
	// set puts the network into a condition before it returns.
	set(c testfleet.Condition) error
	// enter returns the beginning of a command that is to use the link.
	enter() []string
	// cuts reports whether the link can break connections.
	cuts() bool
	// direct reports whether the link cannot fail.
	direct() bool
}

// direct is a link to several masters that cannot fail.
type direct struct{ masters string }

func (d direct) Close()                        {}
func (d direct) address() string               { return d.masters }
func (d direct) enter() []string               { return nil }
func (d direct) cuts() bool                    { return false }
func (d direct) direct() bool                  { return true }
func (d direct) set(testfleet.Condition) error { return nil }

// proxied is a link over a proxy in this process.
type proxied struct{ *testfleet.Proxy }

func (p proxied) address() string { return p.Address() }
func (p proxied) enter() []string { return nil }
func (p proxied) cuts() bool      { return true }
func (p proxied) direct() bool    { return false }

func (p proxied) set(c testfleet.Condition) error {
	p.Set(c)
	return nil
}

// networked is a link over a network namespace.
type networked struct {
	*testfleet.Namespace
	port string // of the master
}

func (n networked) address() string                 { return net.JoinHostPort(n.Here, n.port) }
func (n networked) enter() []string                 { return n.Enter() }
func (n networked) cuts() bool                      { return false }
func (n networked) direct() bool                    { return false }
func (n networked) set(c testfleet.Condition) error { return n.Set(c) }

// newLink makes the link of a scout.
func newLink(masters []*master, namespaces bool) (link, error) {
	m := masters[0]
	if m.shares {
		all := make([]string, len(masters))
		for i, m := range masters {
			all[i] = m.grpc
		}
		return direct{strings.Join(all, ",")}, nil
	}
	if !namespaces {
		p, err := testfleet.NewProxy(m.grpc)
		return proxied{p}, err
	}
	_, port, err := net.SplitHostPort(m.grpc)
	if err != nil {
		return nil, err
	}
	ns, err := testfleet.NewNamespace()
	return networked{ns, port}, err
}

// scout is a scout whose process is started again and again.
type scout struct {
	program

	number   int
	programs testfleet.Programs
	host     string
	tree     *tree
	args     []string
	link     link
	limits   bool            // its number of watches can be limited
	disk     *testfleet.Disk // below its directory, or nil
}

// start starts the scout until it is registered. A scout that does not reach its
// master at its start exits, and a service manager would start it again.
func (s *scout) start(ctx context.Context) error {
	for ctx.Err() == nil {
		p, err := testfleet.Launch(s.command())
		if err != nil {
			return err
		}
		s.is(p)
		_, err = p.Await(startTime, 0, func(e testfleet.Event) bool { return e.Msg() == "registered" })
		if err == nil || !errors.Is(err, io.EOF) {
			return err
		}
		s.mu.Lock()
		s.inspectAnswers()
		s.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	}
	return ctx.Err()
}

// command returns the command that starts the scout on its link, where its number
// of watches can be limited.
func (s *scout) command() *exec.Cmd {
	scout := s.programs.ScoutCommand(s.link.address(), s.tree.path, append(s.args, "-host", s.host)...)
	args := s.link.enter()
	if s.limits {
		args = append(args, "unshare", "--user", "--map-root-user")
	}
	args = append(args, scout.Args...)
	return testfleet.Command(args[0], args[1:]...)
}

// home returns the address of the master at which the scout is registered, or "".
func (s *scout) home() (address string) {
	for _, e := range s.current().Events() {
		switch e.Msg() {
		case "registered":
			address = e.Text("master")
		case "master lost":
			address = ""
		}
	}
	return address
}

// rivalCommand returns the command that starts another scout of the same host and
// directory, where that is another directory, as in a container.
func (s *scout) rivalCommand(dir string) *exec.Cmd {
	scout := s.programs.ScoutCommand(s.link.address(), s.tree.path, "-host", s.host)
	const mount = `mount --bind "$0" "$1" && shift && exec "$@"`
	return testfleet.Command("unshare", append([]string{"--mount", "sh", "-c", mount, dir, s.tree.path}, scout.Args...)...)
}

// rivalsWork returns why there are no rivals here, or nil.
func rivalsWork() error { return testfleet.Run("unshare", "--mount", "true") }

// limit limits the number of watches of the scout.
func (s *scout) limit(watches int) error {
	pid := s.current().Process.Pid
	return testfleet.Run("nsenter", "--user", "--target", strconv.Itoa(pid), "sh", "-c",
		fmt.Sprintf("echo %d > /proc/sys/user/max_inotify_watches", watches))
}

// limitsWork returns why watches cannot be limited here, or nil.
func limitsWork() error {
	return testfleet.Run("unshare", "--user", "--map-root-user", "sh", "-c", "echo 1000 > /proc/sys/user/max_inotify_watches")
}
