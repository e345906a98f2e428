//go:build linux

package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"scout/cmd/internal/testfleet"
)

var (
	// programs are built once for all tests.
	programs testfleet.Programs
	// raced says that everything is several times as slow.
	raced = testfleet.Raced()
	// long runs what takes minutes, too.
	long = flag.Bool("long", os.Getenv("SCOUT_E2E_LONG") == "1", "run the tests that take minutes")
)

func TestMain(m *testing.M) {
	testfleet.ServeDisk()
	// The tests wait for programs rather than compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scout-e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = os.Chmod(dir, 0o755) // other users run them too
	}
	if err == nil {
		programs, err = testfleet.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, left := range children() {
		fmt.Fprintln(os.Stderr, "a test left a process:", left)
		code = 1
	}
	return code
}

// children returns the processes that this one has started and that still run.
func children() (found []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		end := strings.LastIndexByte(string(stat), ')')
		fields := strings.Fields(string(stat)[end+1:]) // from the state on
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, string(stat[:end+1]))
		}
	}
	return found
}

const (
	// patience bounds what should take moments, on a machine that is busy.
	patience = 30 * time.Second
	// stopTime is how long a program may take to stop.
	stopTime = 10 * time.Second
	// nobody is a user who may write nowhere.
	nobody = 65534
)

func command(program string, args ...string) *exec.Cmd { return testfleet.Command(program, args...) }

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
	must(t, err)
	stopAtEnd(t, p)
	return p
}

func stopAtEnd(t *testing.T, p *testfleet.Process) {
	t.Helper()
	t.Cleanup(func() {
		if !p.Ended() {
			p.Continue()
			expectExit(t, p, syscall.SIGTERM, stopTime)
		}
		for _, line := range p.Stray() {
			t.Errorf("%s wrote %q", filepath.Base(p.Path), line)
		}
	})
}

// expectExit sends a signal and waits for exit code 0. It returns how long that
// took. A program that does not stop is made to say what it does.
func expectExit(t *testing.T, p *testfleet.Process, sig syscall.Signal, limit time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	p.Signal(sig)
	code, err := p.AwaitExit(limit)
	if err != nil {
		p.Signal(syscall.SIGQUIT)
		p.AwaitExit(time.Second)
		p.Kill()
		t.Errorf("%s runs on %s after %s", filepath.Base(p.Path), limit, sig)
	} else if code != 0 {
		t.Errorf("%s: exit code %d after %s: %s", filepath.Base(p.Path), code, sig, p.Tail())
	}
	return time.Since(began)
}

// signal sends a signal to a program that runs.
func signal(t *testing.T, p *testfleet.Process, sig syscall.Signal) {
	t.Helper()
	must(t, p.Signal(sig))
}

// kill ends a program the hard way.
func kill(t *testing.T, p *testfleet.Process) {
	t.Helper()
	signal(t, p, syscall.SIGKILL)
	_, err := p.AwaitExit(patience)
	must(t, err)
}

// await waits for an event with the message, and fails the test without.
func await(t *testing.T, p *testfleet.Process, msg string) testfleet.Event {
	t.Helper()
	return awaitFrom(t, p, 0, msg)
}

// awaitFrom waits for such an event among those after the first from.
func awaitFrom(t *testing.T, p *testfleet.Process, from int, msg string) testfleet.Event {
	t.Helper()
	e, err := p.AwaitMsg(patience, from, msg)
	must(t, err)
	return e
}

// awaitReason waits for an event with the message, which must have the reason.
func awaitReason(t *testing.T, p *testfleet.Process, msg, reason string) {
	t.Helper()
	if e := await(t, p, msg); e.Text("reason") != reason {
		t.Errorf("logged %v, want the reason %q", e, reason)
	}
}

// never fails the test if a program has logged one of the messages after the first
// from events.
func never(t *testing.T, p *testfleet.Process, from int, msgs ...string) {
	t.Helper()
	for _, msg := range msgs {
		if found := p.Logged(from, msg); len(found) > 0 {
			t.Errorf("logged %d times, such as %v: %s", len(found), found[0], p.Tail())
		}
	}
}

// client asks masters as any consumer would.
var client = &http.Client{Timeout: time.Minute}

// master is a scoutmaster that runs.
type master struct{ *testfleet.Master }

// startMaster starts a scoutmaster on free ports, unless args say otherwise.
func startMaster(t *testing.T, args ...string) *master {
	t.Helper()
	return serving(t, launch(t, programs.MasterCommand(args...)))
}

// serving waits until a program that is a scoutmaster serves.
func serving(t *testing.T, p *testfleet.Process) *master {
	t.Helper()
	m, err := p.Serving()
	must(t, err)
	return &master{m}
}

// masterAt is a scoutmaster whose log nobody reads.
func masterAt(grpc, http string) *master {
	return &master{&testfleet.Master{GRPC: grpc, HTTP: http, Client: client}}
}

// startTo starts a program whose log goes elsewhere. stop ends it with SIGTERM, which
// it must obey in time, at the end of the test at the latest.
func startTo(t *testing.T, log io.Writer, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	cmd.Stderr = log
	must(t, cmd.Start())
	stop = sync.OnceFunc(func() {
		defer time.AfterFunc(stopTime, func() { cmd.Process.Kill() }).Stop()
		if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
			t.Errorf("%s: %v", filepath.Base(cmd.Path), err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// startMasterTo is startTo for a scoutmaster, and waits until it serves.
func startMasterTo(t *testing.T, log io.Writer, args ...string) (m *master, stop func()) {
	t.Helper()
	m = masterAt("127.0.0.1:"+freePort(t), "127.0.0.1:"+freePort(t))
	stop = startTo(t, log, command(programs.Scoutmaster, append([]string{"-grpc", m.GRPC, "-http", m.HTTP}, args...)...))
	within(t, patience, func() error { _, err := m.Files(); return err })
	return m, stop
}

// port returns the port of an address.
func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// freePort is [testfleet.FreePort].
func freePort(t *testing.T) string {
	t.Helper()
	port, err := testfleet.FreePort()
	must(t, err)
	return port
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
	return startScoutAt(t, m.GRPC, host, dir, args...)
}

// startScoutAt is startScout for a scout that knows scoutmasters by their addresses.
func startScoutAt(t *testing.T, masters, host, dir string, args ...string) *scout {
	t.Helper()
	s := launchScout(t, scoutCommand(masters, host, dir, args...), host, dir)
	await(t, s.Process, "registered")
	return s
}

// startPair starts a scoutmaster, and a scout of a directory with so many files, and
// waits until they are listed.
func startPair(t *testing.T, files int, masterArgs ...string) (*master, *scout) {
	t.Helper()
	dir := tempDir(t)
	fill(t, dir, files)
	return startPairIn(t, dir, masterArgs...)
}

// startPairIn is startPair for a directory that exists.
func startPairIn(t *testing.T, dir string, masterArgs ...string) (*master, *scout) {
	t.Helper()
	m := startMaster(t, masterArgs...)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	return m, s
}

// startScouts starts scouts of directories with so many files each.
func startScouts(t *testing.T, m *master, n, files int) (scouts []*scout) {
	t.Helper()
	for i := range n {
		dir := tempDir(t)
		fill(t, dir, files)
		scouts = append(scouts, startScout(t, m, fmt.Sprint("h", i), dir))
	}
	return scouts
}

// at returns a path in the scout's directory.
func (s *scout) at(name string) string { return filepath.Join(s.dir, name) }

func scoutCommand(master, host, dir string, args ...string) *exec.Cmd {
	return programs.ScoutCommand(master, dir, append([]string{"-host", host, "-poll", "1h"}, args...)...)
}

func launchScout(t *testing.T, cmd *exec.Cmd, host, dir string) *scout {
	t.Helper()
	return &scout{launch(t, cmd), host, dir}
}

// newProxy starts a proxy for a server at an address, until the test ends.
func newProxy(t *testing.T, target string) *testfleet.Proxy {
	t.Helper()
	p, err := testfleet.NewProxy(target)
	must(t, err)
	t.Cleanup(p.Close)
	return p
}

// newNamespace makes a network namespace that lasts as long as the test.
func newNamespace(t *testing.T) *testfleet.Namespace {
	t.Helper()
	needRoot(t)
	ns, err := testfleet.NewNamespace()
	if err != nil {
		t.Skipf("SKIPPED: no network namespaces here: %v", err)
	}
	t.Cleanup(ns.Close)
	return ns
}

// inNamespace has cmd run in a network namespace.
func inNamespace(ns *testfleet.Namespace, cmd *exec.Cmd) *exec.Cmd {
	args := append(ns.Enter(), cmd.Args...)
	return command(args[0], args[1:]...)
}

// newDisk mounts a disk, which shows backing at dir, until the test ends.
func newDisk(t *testing.T, backing, dir string) *testfleet.Disk {
	t.Helper()
	needRoot(t)
	d, err := testfleet.MountDisk(backing, dir)
	if err != nil {
		t.Skipf("SKIPPED: no FUSE here: %v", err)
	}
	t.Cleanup(d.Unmount)
	return d
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

// dirOf is a tempDir with these files.
func dirOf(t *testing.T, names ...string) string {
	t.Helper()
	dir := tempDir(t)
	for _, name := range names {
		write(t, dir, name)
	}
	return dir
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

// find is the judge: what must be listed of a directory, in order.
func find(t *testing.T, dir string) []string {
	t.Helper()
	names, err := testfleet.Find(dir)
	must(t, err)
	return names
}

// converges waits until the list is what find says of the scouts' directories,
// in which nothing happens any more, and nothing else. It returns how long that
// took.
func converges(t *testing.T, m *master, scouts ...*scout) time.Duration {
	t.Helper()
	return convergesWithin(t, patience, m, scouts...)
}

func convergesWithin(t *testing.T, limit time.Duration, m *master, scouts ...*scout) time.Duration {
	t.Helper()
	took, err := settles(t, limit, m, scouts...)
	if err != nil {
		t.Errorf("after %s: %v\n%s", took.Round(time.Millisecond), err, m.Tail())
		for _, s := range scouts {
			t.Log(s.Tail())
		}
		t.FailNow()
	}
	return took
}

// settles is converges with an error for the caller to report.
func settles(t *testing.T, limit time.Duration, m *master, scouts ...*scout) (time.Duration, error) {
	t.Helper()
	want := make([][]string, len(scouts))
	for i, s := range scouts {
		want[i] = find(t, s.dir)
	}
	return eventually(limit, func() error {
		entries, err := m.Files()
		if err != nil {
			return err
		}
		total := 0
		for i, s := range scouts {
			if err := testfleet.Diff(testfleet.Names(entries, s.host, s.dir), want[i]); err != nil {
				return fmt.Errorf("%s in %s: %w", s.host, s.dir, err)
			}
			total += len(want[i])
		}
		if len(entries) != total {
			return fmt.Errorf("%d entries are listed, %d are these scouts'", len(entries), total)
		}
		return nil
	})
}

// eventually repeats check until it is nil, and returns how long that took and
// what the last one said. A list that no master may give ends it at once.
func eventually(limit time.Duration, check func() error) (time.Duration, error) {
	began := time.Now()
	for {
		start := time.Now()
		err := check()
		took := time.Since(began)
		if wrong := (*testfleet.WrongListError)(nil); err == nil || errors.As(err, &wrong) || took > limit {
			return took, err
		}
		time.Sleep(max(5*time.Millisecond, 2*time.Since(start))) // leave the machine to the programs
	}
}

// within is eventually for a test that ends without.
func within(t *testing.T, limit time.Duration, check func() error) time.Duration {
	t.Helper()
	took, err := eventually(limit, check)
	if err != nil {
		t.Fatalf("after %s: %v", took.Round(time.Millisecond), err)
	}
	return took
}

// lists checks that the list has exactly these names of a scout.
func (m *master) lists(host, dir string, want ...string) error {
	entries, err := m.Files()
	if err != nil {
		return err
	}
	return testfleet.Diff(testfleet.Names(entries, host, dir), want)
}

// absent checks that nothing of a scout is listed.
func (m *master) absent(s *scout) error { return m.lists(s.host, s.dir) }

// awaitList waits until the list has exactly these names of a scout.
func awaitList(t *testing.T, m *master, host, dir string, want ...string) time.Duration {
	t.Helper()
	return within(t, patience, func() error { return m.lists(host, dir, want...) })
}

// awaitAbsent waits until nothing of a scout is listed.
func awaitAbsent(t *testing.T, m *master, s *scout) time.Duration {
	t.Helper()
	return awaitList(t, m, s.host, s.dir)
}

// lookFor waits until a file is listed, or is not any more, without reading the
// whole list, and returns how long that took.
func lookFor(t *testing.T, m *master, name string, listed bool) time.Duration {
	t.Helper()
	return within(t, time.Minute, func() error {
		body, err := m.Get("/files?prefix=" + name)
		if err == nil && strings.Contains(string(body), `"`+name+`"`) != listed {
			err = fmt.Errorf("of %s: %s", name, body)
		}
		return err
	})
}

// repeat calls do again and again, with a pause before each call, until do returns an
// error, the test ends, or what it returns is called, which returns that error.
func repeat(t *testing.T, pause time.Duration, do func() error) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		var err error
		for err == nil && testfleet.Sleep(ctx, pause) {
			err = do()
		}
		ended <- err
	}()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { stop() })
	return stop
}

// dialGRPC connects to a master like any client of gRPC, until the test ends.
func dialGRPC(t *testing.T, m *master) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(m.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// resident is how much memory a program has, in MiB.
func resident(t *testing.T, p *testfleet.Process) int {
	t.Helper()
	bytes, err := p.Resident()
	must(t, err)
	return int(bytes >> 20)
}

// cpu is the processor time that a program has used.
func cpu(t *testing.T, p *testfleet.Process) time.Duration {
	t.Helper()
	used, err := p.CPU()
	must(t, err)
	return used
}

// consumer reads the list again and again while a test does its worst, and
// fails the test when one is wrong.
type consumer struct {
	master *master
	done   func() // ends the reading, once, and reports what was wrong

	mu    sync.Mutex
	dead  map[*scout]bool     // of these nothing may be listed
	whole map[*scout][]string // of these everything or nothing is
	reads int
}

// consume begins to read, until the test ends or is told otherwise.
func consume(t *testing.T, m *master) *consumer {
	t.Helper()
	c := &consumer{master: m, dead: map[*scout]bool{}, whole: map[*scout][]string{}}
	stop := repeat(t, 5*time.Millisecond, c.read)
	c.done = sync.OnceFunc(func() {
		if err := stop(); err != nil {
			t.Errorf("read %d of the list: %v", c.reads, err)
		}
		if c.reads == 0 {
			t.Error("the list was never read")
		}
	})
	t.Cleanup(c.done)
	return c
}

// set changes what may be listed from now on.
func (c *consumer) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// isDead says that from now on nothing of the scout may be listed.
func (c *consumer) isDead(s *scout) { c.set(func() { c.dead[s] = true }) }

// isBack says that something may be listed of the scout, or its successor.
func (c *consumer) isBack(s *scout) { c.set(func() { delete(c.dead, s) }) }

// isWhole says that the scout's names are these, while any are listed, and
// perhaps others.
func (c *consumer) isWhole(s *scout, names []string) { c.set(func() { c.whole[s] = names }) }

// read reads the list once. What it must be is what it had to be both before
// and after.
func (c *consumer) read() error {
	c.mu.Lock()
	dead, whole := maps.Clone(c.dead), maps.Clone(c.whole)
	c.mu.Unlock()

	began := time.Now()
	entries, err := c.master.Files()
	defer func() { time.Sleep(time.Since(began)) }() // leave the machine to the programs
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		return err
	}
	c.reads++
	for s := range dead {
		if names := testfleet.Names(entries, s.host, s.dir); c.dead[s] && len(names) > 0 {
			return fmt.Errorf("%s is gone, and %d of its files are listed: %.99q", s.host, len(names), names[0])
		}
	}
	for s, names := range whole {
		listed := testfleet.Names(entries, s.host, s.dir)
		missing := testfleet.Without(names, listed)
		if c.whole[s] != nil && len(listed) > 0 && len(missing) > 0 {
			return fmt.Errorf("%d of %d names of %s are missing, such as %.99q", len(missing), len(names), s.host, missing[0])
		}
	}
	return nil
}
