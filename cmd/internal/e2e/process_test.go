//go:build linux

package e2e

import (
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

	"scout/cmd/internal/testfleet"
)

const (
	// patience bounds what should take moments, on a machine that is busy.
	patience = 30 * time.Second
	// stopTime is how long a program may take to stop.
	stopTime = 10 * time.Second
	// nobody is a user who may write nowhere.
	nobody = 65534
)

// command is how a program is started: in this process's environment, without
// what would configure Scout.
func command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"GORACE=atexit_sleep_ms=0"} // or each end takes a second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// asNobody makes cmd run without root's privileges, which would read anything.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
	}
	return cmd
}

// launch starts a program, which is stopped at the end of the test. It must
// then stop as it should, and its whole log must be JSON: a stack trace or a
// report of the race detector is not.
func launch(t *testing.T, cmd *exec.Cmd) *testfleet.Process {
	t.Helper()
	p, err := testfleet.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !p.Ended() {
			p.Process.Signal(syscall.SIGCONT)
			expectExit(t, p, syscall.SIGTERM, stopTime)
		}
		for _, line := range p.Stray() {
			t.Errorf("%s wrote %q", filepath.Base(cmd.Path), line)
		}
	})
	return p
}

// expectExit sends a signal and waits for exit code 0. It returns how long that
// took. What does not stop is made to, and to say what it was doing.
func expectExit(t *testing.T, p *testfleet.Process, sig syscall.Signal, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	p.Process.Signal(sig)
	code, err := p.AwaitExit(limit)
	if err != nil {
		p.Process.Signal(syscall.SIGQUIT)
		p.AwaitExit(time.Second)
		p.Kill()
		t.Errorf("%s runs on %s after %s", filepath.Base(p.Path), limit, sig)
	} else if code != 0 {
		t.Errorf("%s: exit code %d after %s: %s", filepath.Base(p.Path), code, sig, tail(p))
	}
	return time.Since(began)
}

// signal sends a signal to a program that runs.
func signal(t *testing.T, p *testfleet.Process, sig syscall.Signal) {
	t.Helper()
	if err := p.Process.Signal(sig); err != nil {
		t.Fatalf("signal %s: %v; %s", sig, err, tail(p))
	}
}

// kill ends a program the hard way.
func kill(t *testing.T, p *testfleet.Process) {
	t.Helper()
	signal(t, p, syscall.SIGKILL)
	if _, err := p.AwaitExit(patience); err != nil {
		t.Fatal(err)
	}
}

// await waits for an event with the message, and fails the test without.
func await(t *testing.T, p *testfleet.Process, msg string) testfleet.Event {
	t.Helper()
	return awaitFrom(t, p, 0, msg)
}

// awaitFrom waits for such an event among those after the first from.
func awaitFrom(t *testing.T, p *testfleet.Process, from int, msg string) testfleet.Event {
	t.Helper()
	e, err := p.Await(patience, from, func(e testfleet.Event) bool { return e.Msg() == msg })
	if err != nil {
		t.Fatalf("no event %q: %v: %s", msg, err, tail(p))
	}
	return e
}

// events returns those with the message, from the from-th event of the log on.
func events(p *testfleet.Process, from int, msg string) (found []testfleet.Event) {
	for _, e := range p.Events()[from:] {
		if e.Msg() == msg {
			found = append(found, e)
		}
	}
	return found
}

// tail is the end of a log, for failures.
func tail(p *testfleet.Process) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s's log ends:", filepath.Base(p.Path))
	events := p.Events()
	for _, e := range events[max(0, len(events)-12):] {
		fmt.Fprintf(&b, "\n\t%v", e)
	}
	for _, line := range p.Stray() {
		fmt.Fprintf(&b, "\n\t%s", line)
	}
	return b.String()
}

// master is a scoutmaster that runs.
type master struct {
	*testfleet.Process
	grpc, http string
}

// startMaster starts a scoutmaster on free ports, unless args say otherwise.
func startMaster(t *testing.T, args ...string) *master {
	t.Helper()
	p := launch(t, command(programs.Scoutmaster, append([]string{"-grpc", "0", "-http", "0"}, args...)...))
	serving := await(t, p, "serving")
	return &master{p, serving.Text("grpc"), serving.Text("http")}
}

// port returns the port of an address.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

var taken sync.Map // ports given to a test: others may not listen yet

// freePort returns a port that nobody listens on, nor will be given by chance.
func freePort(t *testing.T) string {
	t.Helper()
	for n := 12000 + os.Getpid()%8000; n < 32000; n += 7 {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(n))
		if err == nil {
			l.Close()
			if _, taken := taken.LoadOrStore(n, true); !taken {
				return strconv.Itoa(n)
			}
		}
	}
	t.Fatal("no free port")
	return ""
}

// scout is a scout that runs.
type scout struct {
	*testfleet.Process
	host, dir string
}

// startScout starts a scout and waits until it is registered. It must be told
// what happens: it does not poll, unless args say so.
func startScout(t *testing.T, m *master, host, dir string, args ...string) *scout {
	t.Helper()
	s := launchScout(t, scoutCommand(m.grpc, host, dir, args...), host, dir)
	await(t, s.Process, "registered")
	return s
}

func scoutCommand(master, host, dir string, args ...string) *exec.Cmd {
	return command(programs.Scout, append([]string{"-dir", dir, "-master", master, "-host", host, "-poll", "1h"}, args...)...)
}

func launchScout(t *testing.T, cmd *exec.Cmd, host, dir string) *scout {
	t.Helper()
	return &scout{launch(t, cmd), host, dir}
}

// tempDir is a directory of the test's own that others may enter.
func tempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		must(t, os.Chmod(d, 0o755))
	}
	resolved, err := filepath.EvalSymlinks(dir)
	must(t, err)
	return resolved
}

// must fails the test at an error of its own doing.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write makes a file, and the directories on the way to it.
func write(t *testing.T, parts ...string) {
	t.Helper()
	path := filepath.Join(parts...)
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, nil, 0o644))
}

// rounds is how often to do what is as good a test when done less often, if
// time is short.
func rounds(n int) int {
	if testing.Short() {
		return (n + 3) / 4
	}
	return n
}

// needRoot skips a test that this user cannot run.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}
