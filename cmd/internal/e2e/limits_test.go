//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"scout/cmd/internal/testfleet"
)

// limited is a scout whose user has a limit on a resource.
func limited(t *testing.T, scout *exec.Cmd, what string, n int) *exec.Cmd {
	t.Helper()
	needRoot(t)
	if err := exec.Command("unshare", "-Ur", "test", "-w", "/proc/sys/user/"+what).Run(); err != nil {
		t.Skipf("SKIPPED: no limits of one's own here: %v", err)
	}
	return command("unshare", append([]string{
		"-Ur", "sh", "-c",
		fmt.Sprintf(`echo %d >/proc/sys/user/%s && exec "$0" "$@"`, n, what),
	}, scout.Args...)...)
}

// A scout that may set no more watches, or none at all, stays up and exact: it
// warns once, with what to raise, and polls what it cannot watch, which the
// master says too.
func TestWatchesExhausted(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		what    string
		n       int
		warning string
		raise   string
		polled  float64
	}{
		{"max_inotify_watches", 20, "watch limit reached", "fs.inotify.max_user_watches", 31 - 20},
		{"max_inotify_instances", 0, "watches unavailable", "fs.inotify.max_user_instances", 31},
	} {
		t.Run(test.what, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			for i := range 30 {
				write(t, dir, fmt.Sprint("sub", i), "file")
			}
			m := startMaster(t, "-heartbeat", "200ms")
			cmd := limited(t, scoutCommand(m.GRPC, "h", dir, "-poll", "100ms"), test.what, test.n)
			s := launchScout(t, cmd, "h", dir)
			converges(t, m, s)
			if e := await(t, m.Process, "scout degraded"); e.Number("polled") != test.polled {
				t.Errorf("%v", e)
			}
			for round := range 3 {
				for i := range 30 {
					write(t, dir, fmt.Sprint("sub", i), fmt.Sprint("new", round))
					must(t, os.Remove(filepath.Join(dir, fmt.Sprint("sub", i), [...]string{"file", "new0", "new1"}[round])))
				}
				converges(t, m, s)
			}
			warned := s.Logged(0, test.warning)
			if len(warned) != 1 || !strings.Contains(warned[0].Text("raise"), test.raise) {
				t.Errorf("%v", warned)
			}
		})
	}
}

// A file system that tells nobody of what other machines change: the poll finds
// it, and that the scout polls can be seen.
func TestNoNotifications(t *testing.T) {
	t.Parallel()
	needRoot(t)
	_, backing, dir := diskBelow(t, "")
	m := startMaster(t, "-heartbeat", "200ms")
	s := startScout(t, m, "h", dir, "-poll", "100ms")
	converges(t, m, s)
	if e := await(t, m.Process, "scout degraded"); e.Number("polled") != 6 {
		t.Errorf("%v", e)
	}
	for round := range 3 {
		for i := range 5 {
			write(t, backing, fmt.Sprint("sub", i), fmt.Sprint("elsewhere ", round))
			write(t, backing, fmt.Sprint("new", round), "deep", fmt.Sprint(i))
		}
		must(t, os.RemoveAll(filepath.Join(backing, fmt.Sprint("sub", round))))
		converges(t, m, s)
		write(t, dir, "made here")
		converges(t, m, s)
		must(t, os.Remove(filepath.Join(dir, "made here")))
	}
	expectExit(t, s.Process, syscall.SIGTERM, stopTime)
}

// With few files to open, the master refuses scouts beyond what it has room
// for and says so; those that it has stay, and consumers are answered
// throughout, however many come. When there is room again, all are welcome.
func TestMasterOutOfDescriptors(t *testing.T) {
	t.Parallel()
	const limit = 160 // scouts get 120 of them, consumers 20
	p := launch(t, command("prlimit", fmt.Sprint("--nofile=", limit), programs.Scoutmaster, "-grpc", "0", "-http", "0"))
	m := serving(t, p)
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	c := consume(t, m)
	c.isWhole(s, names)

	var scouts []*raw
	for i := range 2 * limit {
		if r, err := tryRaw(t, m); err == nil {
			r.hello("raw", fmt.Sprint("/", i))
			scouts = append(scouts, r)
		}
	}
	e := await(t, p, "peer refused")
	within(t, patience, func() error {
		if n := len(p.Logged(0, "scout registered")); n < 100 || n > 120 {
			return fmt.Errorf("%d scouts are registered", n)
		}
		return nil
	})
	if e.Text("listener") != "grpc" || !strings.Contains(e.Text("reason"), "ulimit -n") {
		t.Errorf("%v", e)
	}
	for i := range 5 {
		write(t, dir, fmt.Sprint("during ", i))
		within(t, patience, func() error { return m.freshlyLists(s, len(names)+i+1) })
	}
	c.done()
	one := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: patience}
	must(t, m.listsVia(one, s, len(names)+5))
	crowd := hangOn(t, m.HTTP, 2*limit)
	within(t, patience, func() error {
		for _, e := range p.Logged(0, "peer refused") {
			if e.Text("listener") == "http" {
				return nil
			}
		}
		return fmt.Errorf("no consumer was refused: %s", p.Tail())
	})
	if err := m.listsVia(one, s, len(names)+5); err != nil {
		t.Error("a consumer that was there before:", err)
	}
	// The crowd is of one address. It leaves places to others.
	elsewhere := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	other := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: elsewhere.DialContext, DisableKeepAlives: true}}
	if err := m.listsVia(other, s, len(names)+5); err != nil {
		t.Error("a consumer at another address:", err)
	}
	for _, conn := range crowd {
		conn.Close()
	}
	for _, r := range scouts {
		r.conn.Close()
	}
	within(t, patience, func() error { return m.freshlyLists(s, len(names)+5) })
	second := dirOf(t, "x")
	within(t, patience, func() error {
		r, err := tryRaw(t, m)
		if err == nil {
			r.hello("again", "/")
			_, err = r.stream.Recv()
		}
		return err
	})
	startScout(t, m, "other", second)
	if n := len(p.Logged(0, "scout dropped")); n > len(scouts) {
		t.Errorf("%d scouts were dropped, of %d that left", n, len(scouts))
	}
	never(t, s.Process, 0, "master lost")
}

// freshlyLists asks over a connection of its own how many files of a scout there
// are.
func (m *master) freshlyLists(s *scout, n int) error {
	return m.listsVia(&http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}, s, n)
}

// listsVia asks a client of its own how many files of a scout there are.
func (m *master) listsVia(client *http.Client, s *scout, n int) error {
	entries, err := (&testfleet.Master{HTTP: m.HTTP, Client: client}).Files()
	if err != nil {
		return err
	}
	if got := len(testfleet.Names(entries, s.host, s.dir)); got != n {
		return fmt.Errorf("%d files are listed, of %d", got, n)
	}
	return nil
}

// hangOn opens connections and says nothing.
func hangOn(t *testing.T, address string, n int) (conns []net.Conn) {
	t.Helper()
	for range n {
		conns = append(conns, dialTCP(t, address))
	}
	return conns
}

// dialTCP opens a connection, until the test ends.
func dialTCP(t *testing.T, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

// sendRequest asks for the list in a version of HTTP, and reads nothing.
func sendRequest(t *testing.T, address, version string) *net.TCPConn {
	t.Helper()
	conn := dialTCP(t, address)
	_, err := fmt.Fprintf(conn, "GET /files %s\r\nHost: localhost\r\n\r\n", version)
	must(t, err)
	return conn
}

// With little memory, the master refuses what it has no room for, with the
// reason, and logs it; what it lists it goes on to list and to serve. When
// others have left, there is room again.
func TestMasterOutOfMemory(t *testing.T) {
	t.Parallel()
	cmd := command(programs.Scoutmaster, "-grpc", "0", "-http", "0", "-deadline", "1m")
	cmd.Env = append(cmd.Env, "GOMEMLIMIT=48MiB")
	p := launch(t, cmd)
	m := serving(t, p)
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)

	var listed []*raw
	var refused error
	for i := range 50 {
		r := dialRaw(t, m)
		r.hello("raw", fmt.Sprint("/", i))
		if refused = r.tryShow(bulkyNames(i, 4000)); refused != nil {
			break
		}
		listed = append(listed, r)
	}
	if end := status.Convert(refused); end.Code() != codes.ResourceExhausted || !strings.Contains(end.Message(), "memory is short") {
		t.Fatalf("with %d lists of 4 MB the call ended with %v", len(listed), refused)
	}
	t.Logf("%d lists of 4 MB were taken in; then %v", len(listed), await(t, p, "session refused"))
	write(t, dir, "still followed")
	within(t, patience, func() error { return m.hasOf(s, len(names)+1) })
	for _, r := range listed {
		r.leave()
	}
	write(t, dir, "and after")
	within(t, time.Minute, func() error {
		r := dialRaw(t, m)
		r.hello("again", "/")
		return r.tryShow([]string{"x"})
	})
	within(t, patience, func() error { return m.hasOf(s, len(names)+2) })
	never(t, s.Process, 0, "master lost")
}

// bulkyNames are n names of 1000 bytes that no other session has, and of which
// little can be saved by what they share.
func bulkyNames(session, n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("z%06d-%d%s", i, session, strings.Repeat("x", 990)))
	}
	return names
}

// hasOf looks for how many files with the names that fill and write give there
// are, without reading those of others.
func (m *master) hasOf(s *scout, n int) error {
	body, err := m.Get("/files?prefix=0&prefix=still&prefix=and")
	if err != nil {
		return err
	}
	if got := strings.Count(string(body), fmt.Sprintf(`"host":%q`, s.host)); got != n {
		return fmt.Errorf("%d files are listed, of %d", got, n)
	}
	return nil
}

// tryShow shows names once the Welcome has come, or says why the call ended.
func (r *raw) tryShow(names []string) error {
	r.offer()
	_, err := r.hear("Grant")
	if err == nil {
		r.sendAll(names)
	}
	return err
}

// slowReader asks for the list and reads it at a rate of bytes a second, until
// the test ends. It has a small window, so that what it does not read waits in
// the master.
func slowReader(t *testing.T, m *master, rate int) {
	t.Helper()
	conn := sendRequest(t, m.HTTP, "HTTP/1.1")
	must(t, conn.SetReadBuffer(4<<10))
	go func() {
		const parts = 10
		buf := make([]byte, rate/parts)
		for {
			if _, err := io.ReadFull(conn, buf); err != nil {
				return
			}
			time.Sleep(time.Second / parts)
		}
	}()
}

// Fifty consumers that read at 1 KB/s a list that changes all the time: the
// master's memory is bounded, and changes and others' answers come at once.
func TestSlowConsumers(t *testing.T) {
	t.Parallel()
	span := 5 * time.Second
	if *long {
		span = time.Minute
	}
	m := startMaster(t, "-deadline", "1m")
	bulk := dialRaw(t, m)
	bulk.register("bulk", "/")
	bulk.show(bulkyNames(0, 20_000)...) // 20 MB
	await(t, m.Process, "files synced")
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	within(t, patience, func() error { return m.hasOf(s, len(names)) })
	if _, err := m.Get("/files"); err != nil { // what is kept of the text is there
		t.Fatal(err)
	}

	before := resident(t, m.Process)
	for range 50 {
		slowReader(t, m, 1000)
	}
	var slowest time.Duration
	most, changes := before, 0
	for began := time.Now(); time.Since(began) < span; changes++ {
		write(t, dir, fmt.Sprint("still ", changes))
		slowest = max(slowest, within(t, patience, func() error { return m.hasOf(s, len(names)+changes+1) }))
		bulk.update(bulk.add(fmt.Sprint("zz", changes))) // of what the readers are in the middle of
		most = max(most, resident(t, m.Process))
	}
	t.Logf("the slowest of %d changes took %s; %d MiB before, %d at most", changes, slowest, before, most)
	if slowest > soon {
		t.Errorf("a change took %s", slowest)
	}
	if most > 2*before+128 && !raced {
		t.Errorf("the master had %d MiB, %d before", most, before)
	}
}
