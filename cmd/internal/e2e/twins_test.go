//go:build linux

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

// twin is a scout in a container of its own: what it sees at the path where is
// another directory than what others see there.
func twin(m *master, dir, where string) *exec.Cmd {
	scout := scoutCommand(m.GRPC, "twin", where)
	return command("unshare", append([]string{"-m", "sh", "-c", `mount --bind "$0" "$1" && shift && exec "$@"`, dir, where}, scout.Args...)...)
}

// Two containers with one host name and one path: the second is refused, and
// both sides say who. The first notices nothing.
func TestTwins(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	where, one, two := tempDir(t), tempDir(t), tempDir(t)
	write(t, one, "one")
	write(t, two, "two")
	first := launchScout(t, twin(m, one, where), "twin", where)
	session := await(t, first.Process, "registered").Text("session")
	within(t, patience, func() error { return m.lists("twin", where, "one") })

	second := launch(t, twin(m, two, where))
	refused := failure(t, second).Text("error")
	logged := await(t, m.Process, "registration refused")
	for _, text := range []string{refused, logged.Text("holder")} {
		if !strings.Contains(text, session) || !strings.Contains(text, "127.0.0.1:") {
			t.Errorf("%q does not say who holds it", text)
		}
	}
	if logged.Text("host") != "twin" || logged.Text("directory") != where {
		t.Errorf("%v", logged)
	}
	write(t, one, "still here")
	within(t, patience, func() error { return m.lists("twin", where, "one", "still here") })
	if n := len(events(m.Process, 0, "scout dropped")); n > 0 {
		t.Errorf("%s", tail(m.Process))
	}
}

// A frozen container's successor replaces it within about a second. When it
// thaws it learns that, tries again like anybody, and gets its place back only
// when the successor leaves: nothing flaps, and the list is never a mixture.
func TestFrozenTwin(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	where, one, two := tempDir(t), tempDir(t), tempDir(t)
	write(t, one, "one")
	write(t, two, "two")
	first := launchScout(t, twin(m, one, where), "twin", where)
	within(t, patience, func() error { return m.lists("twin", where, "one") })

	signal(t, first.Process, syscall.SIGSTOP)
	began := time.Now()
	second := launchScout(t, twin(m, two, where), "twin", where)
	session := await(t, second.Process, "registered").Text("session")
	t.Logf("accepted after %s", time.Since(began))
	within(t, patience, func() error { return m.lists("twin", where, "two") })
	if e := await(t, m.Process, "scout dropped"); e.Text("reason") != "replaced" {
		t.Errorf("%v", e)
	}

	from := len(m.Events())
	signal(t, first.Process, syscall.SIGCONT)
	if e := await(t, first.Process, "master lost"); !strings.Contains(e.Text("reason"), "replaced by 127.0.0.1:") {
		t.Errorf("%v", e)
	}
	refused := await(t, first.Process, "registration refused")
	if !strings.Contains(refused.Text("reason"), session) {
		t.Errorf("%v", refused)
	}
	write(t, one, "meanwhile")
	awaitFrom(t, m.Process, from+1, "registration refused")
	for range 20 {
		if err := m.lists("twin", where, "two"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if dropped := events(m.Process, from, "scout dropped"); len(dropped) > 0 {
		t.Errorf("%v", dropped)
	}

	expectExit(t, second.Process, syscall.SIGTERM, 3*time.Second)
	within(t, patience, func() error { return m.lists("twin", where, "meanwhile", "one") })
	if n := len(events(first.Process, 0, "registration refused")); n != 1 {
		t.Errorf("it was said %d times that it is refused: %s", n, tail(first.Process))
	}
}

// A ghost, which registered and answers nothing any more, is replaced within
// about a second; what comes from it later is never applied, however much of it
// was under way.
func TestGhost(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-deadline", "1h")
	dir := tempDir(t)
	names := fill(t, dir, 20)
	ghost := dialRaw(t, m)
	ghost.register("h", dir)
	ghost.show("ghost", "of", "yore")
	within(t, patience, func() error { return m.lists("h", dir, "ghost", "of", "yore") })

	began := time.Now()
	s := startScout(t, m, "h", dir)
	took := time.Since(began)
	t.Logf("replaced after %s", took)
	if took > soon {
		t.Errorf("it took %s", took)
	}
	for i := range 100 {
		ghost.update(ghost.add(fmt.Sprint("z", i)))
	}
	if end := ghost.ended(); end.Code() != codes.Aborted || !strings.Contains(end.Message(), "replaced by") {
		t.Errorf("the ghost's call ended with %v", end)
	}
	c := consume(t, m)
	c.isWhole(s, names)
	converges(t, m, s)
	for range 50 {
		if err := m.lists("h", dir, names...); err != nil {
			t.Fatal(err)
		}
	}
}

// A ghost that pours out updates is alive as long as any come; when it dies in
// the middle of one, nothing of that is ever seen, and its successor is not
// mixed with it.
func TestGhostInFullFlow(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := filepath.Join(tempDir(t), "dir")
	write(t, dir, "real")
	for range 5 {
		ghost := dialRaw(t, m)
		ghost.register("h", dir)
		ghost.show("a")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; ghost.stream.Context().Err() == nil && i < 5000; i++ {
				ghost.update(ghost.add(fmt.Sprint("g", i)))
			}
		}()
		within(t, patience, func() error {
			names, err := m.Files()
			if err == nil && len(names) < 2 {
				err = fmt.Errorf("%d entries", len(names))
			}
			return err
		})
		ghost.leave()
		s := startScout(t, m, "h", dir)
		converges(t, m, s)
		<-done
		if err := m.lists("h", dir, "real"); err != nil {
			t.Error(err)
		}
		expectExit(t, s.Process, syscall.SIGTERM, stopTime)
	}
}

// While the holder lives a peer that claims its place is refused again and
// again, and the holder's list does not even blink.
func TestUsurper(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	c := consume(t, m)
	c.isWhole(s, names)
	for range 30 {
		r := dialRaw(t, m)
		r.hello("h", dir)
		if end := r.ended(); end.Code() != codes.AlreadyExists || !strings.Contains(end.Message(), `"h"`) {
			t.Fatalf("%v", end)
		}
		if err := m.lists("h", dir, names...); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(events(m.Process, 0, "scout dropped")); n > 0 {
		t.Errorf("%s", tail(m.Process))
	}
}

// Peers that claim a live scout's place as fast as they are refused, for long:
// the holder's list does not even blink, nothing flaps, and the master's memory
// is flat.
func TestUsurpersForLong(t *testing.T) {
	t.Parallel()
	span := 3 * time.Second
	if *long {
		span = 2 * time.Minute
	}
	m := startMaster(t)
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	c := consume(t, m)
	c.isWhole(s, names)
	r := dialRaw(t, m)
	attempts, warm := 0, 0
	for began := time.Now(); time.Since(began) < span; attempts++ {
		again, err := call(t, r.conn)
		must(t, err)
		again.hello("h", dir)
		if end := again.ended(); end.Code() != codes.AlreadyExists {
			t.Fatalf("%v", end)
		}
		again.leave()
		if warm == 0 && time.Since(began) > span/3 {
			warm = resident(t, m.Process)
		}
	}
	after := resident(t, m.Process)
	t.Logf("%d attempts; %d MiB after a third of them, %d after all", attempts, warm, after)
	if after > warm+warm/2+16 {
		t.Errorf("the master had %d MiB after a third of %d attempts, %d after all", warm, attempts, after)
	}
	within(t, patience, func() error {
		if refused := len(events(m.Process, 0, "registration refused")); refused != attempts {
			return fmt.Errorf("%d refusals are logged, of %d", refused, attempts)
		}
		return nil
	})
	if n := len(events(m.Process, 0, "scout dropped")) + len(events(s.Process, 0, "master lost")); n > 0 {
		t.Errorf("%s\n%s", tail(m.Process), tail(s.Process))
	}
	c.done()
}
