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

// twin is a scout in a separate container. At the path where it sees another
// directory than other programs.
func twin(m *master, dir, where string) *exec.Cmd { return twinOf(m.GRPC, dir, where) }

func twinOf(masters, dir, where string) *exec.Cmd {
	scout := scoutCommand(masters, "twin", where)
	return command("unshare", append([]string{"-m", "sh", "-c", `mount --bind "$0" "$1" && shift && exec "$@"`, dir, where}, scout.Args...)...)
}

// Two containers have the same host name and path. The second one is refused, and both
// sides name the holder. The first one notices nothing.
func TestTwins(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	where, one, two := tempDir(t), tempDir(t), tempDir(t)
	write(t, one, "one")
	write(t, two, "two")
	first := launchScout(t, twin(m, one, where), "twin", where)
	session := await(t, first.Process, "registered").Text("session")
	awaitList(t, m, "twin", where, "one")

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
	awaitList(t, m, "twin", where, "one", "still here")
	never(t, m.Process, 0, "scout dropped")
}

// The successor of a frozen container replaces it within about a second. When the
// container continues it learns this, tries again, and is accepted only after the
// successor has left. Nothing flaps, and the list is never a mixture.
func TestFrozenTwin(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	where, one, two := tempDir(t), tempDir(t), tempDir(t)
	write(t, one, "one")
	write(t, two, "two")
	first := launchScout(t, twin(m, one, where), "twin", where)
	awaitList(t, m, "twin", where, "one")

	signal(t, first.Process, syscall.SIGSTOP)
	began := time.Now()
	second := launchScout(t, twin(m, two, where), "twin", where)
	session := await(t, second.Process, "registered").Text("session")
	t.Logf("accepted after %s", time.Since(began))
	awaitList(t, m, "twin", where, "two")
	awaitReason(t, m.Process, "scout dropped", "replaced")

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
	never(t, m.Process, from, "scout dropped")

	expectExit(t, second.Process, syscall.SIGTERM, 3*time.Second)
	awaitList(t, m, "twin", where, "meanwhile", "one")
	if n := len(first.Logged(0, "registration refused")); n != 1 {
		t.Errorf("it was said %d times that it is refused: %s", n, first.Tail())
	}
}

// A stale holder, which registered and answers no more, is replaced within about a
// second. Its later messages are never applied, however many were on their way.
func TestStaleHolder(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-deadline", "1h")
	dir := tempDir(t)
	names := fill(t, dir, 20)
	stale := dialRaw(t, m)
	stale.register("h", dir)
	stale.show("an", "old", "set")
	awaitList(t, m, "h", dir, "an", "old", "set")

	began := time.Now()
	s := startScout(t, m, "h", dir)
	took := time.Since(began)
	t.Logf("replaced after %s", took)
	if took > soon {
		t.Errorf("it took %s", took)
	}
	for i := range 100 {
		stale.update(stale.add(fmt.Sprint("z", i)))
	}
	if end := stale.ended(); end.Code() != codes.Aborted || !strings.Contains(end.Message(), "replaced by") {
		t.Errorf("the call of the stale holder ended with %v", end)
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

// A holder that sends updates is live as long as updates arrive. When it leaves in the
// middle of an update, no part of that update is ever listed, also not together with
// the files of its successor.
func TestStaleHolderInFullFlow(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := filepath.Join(tempDir(t), "dir")
	write(t, dir, "real")
	for range 5 {
		stale := dialRaw(t, m)
		stale.register("h", dir)
		stale.show("a")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := 0; stale.stream.Context().Err() == nil && i < 5000; i++ {
				stale.update(stale.add(fmt.Sprint("g", i)))
			}
		}()
		within(t, patience, func() error {
			names, err := m.Files()
			if err == nil && len(names) < 2 {
				err = fmt.Errorf("%d entries", len(names))
			}
			return err
		})
		stale.leave()
		s := startScout(t, m, "h", dir)
		converges(t, m, s)
		<-done
		if err := m.lists("h", dir, "real"); err != nil {
			t.Error(err)
		}
		expectExit(t, s.Process, syscall.SIGTERM, stopTime)
	}
}

// Peers register the origin of a live scout as fast as they are refused. The list of the
// holder never changes, nothing flaps, and the memory of the master is constant.
func TestHeldOrigin(t *testing.T) {
	t.Parallel()
	span := 3 * time.Second
	if *long {
		span = 2 * time.Minute
	}
	m, s := startPair(t, 20)
	names := find(t, s.dir)
	c := consume(t, m)
	c.isWhole(s, names)
	r := dialRaw(t, m)
	attempts, warm, began := 0, 0, time.Now()
	for ; time.Since(began) < span; attempts++ {
		again, err := call(t, r.conn)
		must(t, err)
		again.hello("h", s.dir)
		if end := again.ended(); end.Code() != codes.AlreadyExists || !strings.Contains(end.Message(), `"h"`) {
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
		refused, lines := 0, m.Logged(0, "registration refused")
		for _, e := range lines {
			refused += 1 + int(e.Number("withheld"))
		}
		if refused != attempts {
			return fmt.Errorf("%d refusals are logged, of %d", refused, attempts)
		}
		if most := 2 + 2*int(time.Since(began).Seconds()); len(lines) > most {
			return fmt.Errorf("%d lines are logged, want at most %d", len(lines), most)
		}
		return nil
	})
	never(t, m.Process, 0, "scout dropped")
	never(t, s.Process, 0, "master lost")
	c.done()
}
