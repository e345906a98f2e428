//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// soon is what a user would call at once, on a machine that is busy.
const soon = 5 * time.Second

// fill makes so many files and returns their names.
func fill(t *testing.T, dir string, n int) (names []string) {
	t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("%03d", i))
		write(t, dir, names[i])
	}
	return names
}

// A scout that is killed is gone at once, and never half gone; its successor is
// accepted at once.
func TestKilledScout(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir, otherDir := tempDir(t), tempDir(t)
	other := startScout(t, m, "other", otherDir)
	write(t, otherDir, "stays")
	names := fill(t, dir, 300)
	s := startScout(t, m, "h", dir)
	converges(t, m, s, other)
	c := consume(t, m)
	c.isWhole(s, names)
	c.isWhole(other, []string{"stays"})

	for range rounds(3) {
		from := len(m.Events())
		began := time.Now()
		kill(t, s.Process)
		gone := within(t, soon, func() error { return m.absent(s) })
		c.isDead(s)
		if e := awaitFrom(t, m.Process, from, "scout dropped"); e.Text("reason") != "stream broken" || e.Text("host") != "h" {
			t.Errorf("%v", e)
		}
		c.isBack(s)
		s = startScout(t, m, "h", dir)
		c.isWhole(s, names)
		back := converges(t, m, s, other)
		t.Logf("gone after %s, back %s after the kill", gone, time.Since(began)-back)
		if all := time.Since(began); all > 2*soon {
			t.Errorf("the successor was listed after %s", all)
		}
	}
	want := 2 + rounds(3)
	if n := len(m.Logged(0, "scout registered")); n != want {
		t.Errorf("%d registrations, not %d: %s", n, want, m.Tail())
	}
}

// A scout that is killed and started again without a pause, before the master
// can have noticed, is accepted within moments.
func TestRestartedWithoutAPause(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := tempDir(t)
	fill(t, dir, 10)
	for range rounds(5) {
		s := startScout(t, m, "h", dir)
		began := time.Now()
		kill(t, s.Process)
		s = startScout(t, m, "h", dir)
		converges(t, m, s)
		took := time.Since(began)
		t.Logf("listed again %s after the kill", took)
		if took > soon {
			t.Errorf("listed again only %s after the kill", took)
		}
		expectExit(t, s.Process, syscall.SIGTERM, 3*time.Second)
		within(t, soon, func() error { return m.absent(s) })
	}
	never(t, m.Process, 0, "registration refused")
}

// A scout that is told to stop deregisters: exit code 0, and gone at once.
func TestStoppedScout(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		m, s := startPair(t, 10)
		took := expectExit(t, s.Process, sig, 3*time.Second)
		t.Logf("stopped %s after %s", took, sig)
		within(t, soon, func() error { return m.absent(s) })
		awaitReason(t, m.Process, "scout dropped", "deregistered")
	}
}

// A frozen scout is gone at the deadline, not before, and exact again in
// seconds when it thaws, without a poll. Meanwhile its directory stays claimed.
func TestFrozenScout(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 100, "-heartbeat", "200ms", "-deadline", "1s")
	names := find(t, s.dir)
	c := consume(t, m)
	c.isWhole(s, names[:50])

	began := time.Now()
	signal(t, s.Process, syscall.SIGSTOP)
	gone := within(t, soon, func() error { return m.absent(s) })
	t.Logf("gone after %s", gone)
	if gone < 700*time.Millisecond {
		t.Errorf("gone %s after it froze, before the deadline", gone)
	}
	awaitReason(t, m.Process, "scout dropped", "silent past deadline")
	c.isDead(s)

	successor := launchScout(t, scoutCommand(m.GRPC, "h", s.dir), "h", s.dir)
	if e := failure(t, successor.Process); !strings.Contains(e.Text("error"), "is watched by another scout on this machine") {
		t.Errorf("a successor on this machine: %v", e)
	}
	for _, name := range names[50:] {
		must(t, syscall.Unlink(filepath.Join(s.dir, name)))
	}
	write(t, s.dir, "new", "file")

	c.isBack(s)
	frozen := time.Since(began)
	signal(t, s.Process, syscall.SIGCONT)
	converges(t, m, s)
	t.Logf("exact %s after a freeze of %s", time.Since(began)-frozen, frozen)
	if lost := await(t, s.Process, "master lost"); lost.Text("session") == "" || lost.Text("reason") == "" {
		t.Errorf("%v", lost)
	}
	c.done()
}

// A scout that is frozen for less than the deadline is nobody's concern, and
// exact when it thaws.
func TestBrieflyFrozenScout(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0, "-heartbeat", "1s", "-deadline", "20s")
	c := consume(t, m)
	for i := range 4 {
		signal(t, s.Process, syscall.SIGSTOP)
		fill(t, s.at(fmt.Sprint(i, "/sub")), 50)
		time.Sleep(300 * time.Millisecond)
		signal(t, s.Process, syscall.SIGCONT)
		converges(t, m, s)
	}
	c.done()
	never(t, m.Process, 0, "scout dropped")
}

// A scout stops at once in whatever state it is told to.
func TestStopInAnyState(t *testing.T) {
	t.Parallel()
	for name, bring := range map[string]func(t *testing.T, m *master) *scout{
		"master killed": func(t *testing.T, m *master) *scout {
			s := startScout(t, m, "h", tempDir(t))
			kill(t, m.Process)
			await(t, s.Process, "master lost")
			return s
		},
		"master frozen": func(t *testing.T, m *master) *scout {
			s := startScout(t, m, "h", tempDir(t))
			signal(t, m.Process, syscall.SIGSTOP)
			return s
		},
		"while it registers": func(t *testing.T, m *master) *scout {
			signal(t, m.Process, syscall.SIGSTOP)
			s := launchScout(t, scoutCommand(m.GRPC, "h", tempDir(t)), "h", "")
			await(t, s.Process, "directory claimed")
			return s
		},
		"directory gone": func(t *testing.T, m *master) *scout {
			s := startScout(t, m, "h", filepath.Join(dirOf(t, "dir/x"), "dir"))
			converges(t, m, s)
			must(t, os.Rename(s.dir, s.dir+"2"))
			awaitAbsent(t, m, s)
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := startMaster(t)
			t.Log(expectExit(t, bring(t, m).Process, syscall.SIGTERM, 3*time.Second))
			if name != "master frozen" {
				return
			}
			signal(t, m.Process, syscall.SIGCONT)
			if e := await(t, m.Process, "scout dropped"); e.Text("reason") == "silent past deadline" {
				t.Errorf("%v", e)
			}
		})
	}
}

// failure waits for a program to give up, as it should: soon, with an exit code
// other than 0, and one line at level error, which is the last. It returns that.
func failure(t *testing.T, p *testfleet.Process) testfleet.Event {
	t.Helper()
	return failureWithin(t, p, soon)
}

// failureWithin is failure for a start that may take longer.
func failureWithin(t *testing.T, p *testfleet.Process, limit time.Duration) testfleet.Event {
	t.Helper()
	code, err := p.AwaitExit(limit + time.Second) // it starts in no time only on an idle machine
	if err != nil {
		t.Errorf("it did not end within %s: %s", limit, p.Tail())
		p.Kill()
	} else if code <= 0 {
		t.Errorf("exit code %d: %s", code, p.Tail())
	}
	var found []testfleet.Event
	for _, e := range p.Events() {
		if e.Text("level") == "error" {
			found = append(found, e)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d events at level error: %s", len(found), p.Tail())
	}
	if last := p.Events()[len(p.Events())-1]; last.Text("level") != "error" {
		t.Errorf("the error is not the last line: %s", p.Tail())
	}
	return found[0]
}

// Ten minutes of nothing: no connection is closed, no session begins anew, and
// the next change is seen at once. A minute more than grpc's ages and time-outs
// would take to show.
func TestIdleStream(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("takes ten minutes")
	}
	m, s := startPair(t, 3)
	masterSaid, scoutSaid := len(m.Events()), len(s.Events())
	time.Sleep(10*time.Minute + 30*time.Second)
	if m, s := m.Events()[masterSaid:], s.Events()[scoutSaid:]; len(m)+len(s) > 0 {
		t.Errorf("the master said %v, the scout %v", m, s)
	}
	write(t, s.dir, "later")
	converges(t, m, s)
}

// The wall clock jumps an hour ahead and an hour back again and again, under
// both programs, and nobody is taken for silent. Nobody may set the clock of the
// machine for a test, so the programs are built with a Go whose wall clock does
// that.
func TestWallClockJumps(t *testing.T) {
	t.Parallel()
	if !*long {
		t.Skip("builds everything again")
	}
	jumping, err := testfleet.Build(t.TempDir(), "-overlay", jumpyTime(t))
	must(t, err)
	m := serving(t, launch(t, jumping.MasterCommand()))
	dir := tempDir(t)
	fill(t, dir, 10)
	cmd := scoutCommand(m.GRPC, "h", dir, "-poll", "100ms")
	cmd.Path, cmd.Args[0] = jumping.Scout, jumping.Scout
	s := launchScout(t, cmd, "h", dir)
	for i := range 15 {
		write(t, dir, "at", time.Duration(i).String())
		converges(t, m, s)
		time.Sleep(time.Second)
	}
	for _, p := range []*testfleet.Process{m.Process, s.Process} {
		never(t, p, 0, "scout dropped", "master lost", "events lost")
	}
	synced := m.Logged(0, "files synced")
	var least, most time.Time
	for _, e := range synced {
		if at := e.Time(); least.IsZero() || at.Before(least) {
			least = at
		} else if at.After(most) {
			most = at
		}
	}
	if most.Sub(least) < 50*time.Minute {
		t.Errorf("the clock has not jumped: %v", synced)
	}
}

// jumpyTime is the file that tells go build to use another time.Now: one that
// is an hour ahead for two seconds in four.
func jumpyTime(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	must(t, err)
	original := filepath.Join(strings.TrimSpace(string(root)), "src/time/time.go")
	source, err := os.ReadFile(original)
	must(t, err)
	const before = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	changed := strings.Replace(string(source), before, before+"\tsec += (mono - startNano) / 2e9 % 2 * 3600\n", 1)
	if changed == string(source) {
		t.Skip("SKIPPED: this Go has another time.Now than the test knows")
	}
	dir := t.TempDir()
	patched, overlay := filepath.Join(dir, "time.go"), filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(patched, []byte(changed), 0o600))
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: patched}})
	must(t, err)
	must(t, os.WriteFile(overlay, text, 0o600))
	return overlay
}
