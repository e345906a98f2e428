//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"scout/cmd/internal/testfleet"
)

const (
	// startTime is how long a program may take to come up on a busy machine, and
	// stopTime to stop.
	startTime = 30 * time.Second
	stopTime  = 10 * time.Second
	// restartPause is how long whoever keeps a scout running waits before
	// starting it again.
	restartPause = 200 * time.Millisecond
	// anyPort has a program choose one.
	anyPort = "0"
)

// launch starts a program that ends with this process.
func launch(args ...string) (*testfleet.Process, error) {
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return testfleet.Launch(cmd)
}

// program is one that is started again and again. Faults of different kinds may
// use it at once.
type program struct {
	mu        sync.Mutex
	process   *testfleet.Process
	complaint []string // what no program may do
}

func (p *program) is(process *testfleet.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process = process
}

func (p *program) signal(s syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return send(p.process, s)
}

func send(p *testfleet.Process, s syscall.Signal) error { return p.Cmd.Process.Signal(s) }

// pause stops the program, and returns when it has stopped.
func (p *program) pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	p.mu.Lock()
	pid := p.process.Cmd.Process.Pid
	p.mu.Unlock()
	for began := time.Now(); time.Since(began) < stopTime; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return err
		}
		if _, state, _ := bytes.Cut(stat, []byte(") ")); state[0] == 'T' {
			return nil
		}
	}
	return fmt.Errorf("process %d does not stop", pid)
}

// kill ends the program the hard way, and returns when it has ended.
func (p *program) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inspect()
	if err := send(p.process, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s has ended by itself: %w: %v", p.process.Path, err, p.tail())
	}
	_, err := p.process.AwaitExit(stopTime)
	return err
}

// stop ends the program as an operator does, and expects it to obey.
func (p *program) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	send(p.process, syscall.SIGCONT) //nolint:errcheck // the next one says it
	err := send(p.process, syscall.SIGTERM)
	code, late := p.process.AwaitExit(stopTime)
	if err := errors.Join(err, late); err != nil || code != 0 {
		p.complain(fmt.Sprintf("told to stop: exit code %d, %v: %v", code, err, p.tail()))
		p.process.Kill()
	}
	p.inspect()
	return err
}

func (p *program) complain(text string) { p.complaint = append(p.complaint, text) }

// inspect looks into the log for what must never be there.
func (p *program) inspect() {
	for _, line := range p.process.Stray() {
		p.complain("wrote " + line)
	}
	for _, e := range p.process.Events() {
		switch e.Msg() {
		case "protocol violation", "copy differs", "failed", "changes do not fit":
			p.complain(fmt.Sprint("logged ", e))
		}
	}
}

// tail is the end of the log. It is not for those who use the program at once.
func (p *program) tail() string {
	var b strings.Builder
	events := p.process.Events()
	for _, e := range events[max(0, len(events)-20):] {
		fmt.Fprintf(&b, "\n\t%v", e)
	}
	return b.String()
}

// master is the scoutmaster, which comes back at the same addresses.
type master struct {
	program

	binary     string
	args       []string
	grpc, http string // addresses; the same from the first start on
}

func (m *master) start() error {
	args := append([]string{m.binary, "-grpc", m.grpc, "-http", m.http, "-log-format", "json"}, m.args...)
	p, err := launch(args...)
	if err != nil {
		return err
	}
	serving, err := p.AwaitMsg(startTime, "serving")
	if err != nil {
		return err
	}
	m.is(p)
	if m.http == anyPort {
		m.grpc, m.http = serving.Text("grpc"), serving.Text("http")
	}
	return nil
}

func (m *master) port() string {
	_, port, _ := net.SplitHostPort(m.grpc)
	return port
}

// scout is a scout whose process is started again and again.
type scout struct {
	program

	number int
	binary string
	host   string
	tree   *tree
	args   []string
	link   link
	limits bool // it runs where it can be short of watches
}

// start starts the scout until it is registered. A scout that does not reach
// its master at the start gives up, and is started again by whoever keeps it
// running.
func (s *scout) start(ctx context.Context) error {
	for ctx.Err() == nil {
		p, err := launch(s.command()...)
		if err != nil {
			return err
		}
		s.is(p)
		_, err = p.Await(startTime, 0, func(e testfleet.Event) bool { return e.Msg() == "registered" })
		if err == nil || !errors.Is(err, io.EOF) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(restartPause):
		}
	}
	return ctx.Err()
}

func (s *scout) command() []string {
	args := s.link.enter()
	if s.limits {
		args = append(args, "unshare", "--user", "--map-root-user")
	}
	args = append(args, s.binary, "-dir", s.tree.path, "-master", s.link.address(), "-host", s.host, "-log-format", "json")
	return append(args, s.args...)
}

// limit sets how many watches the scout may have.
func (s *scout) limit(watches int) error {
	s.mu.Lock()
	pid := s.process.Cmd.Process.Pid
	s.mu.Unlock()
	return run("nsenter", "--user", "--target", strconv.Itoa(pid), "sh", "-c",
		fmt.Sprintf("echo %d > /proc/sys/user/max_inotify_watches", watches))
}

// limitsWork says why no scout can be short of watches here, or nil.
func limitsWork() error {
	return run("unshare", "--user", "--map-root-user", "sh", "-c", "echo 1000 > /proc/sys/user/max_inotify_watches")
}

// run runs a command that says nothing unless it fails.
func run(command ...string) error {
	out, err := exec.CommandContext(context.Background(), command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
