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

// unconfirmed is a scout, or a scoutmaster, that a fresh list names.
type unconfirmed struct{ Host, Directory, Scoutmaster, Reason string }

// fresh requests a complete list.
func (m *master) fresh(query string) ([]testfleet.Entry, []unconfirmed, error) {
	body, err := m.Get("/files?" + query)
	if err != nil {
		return nil, nil, err
	}
	var list struct {
		Files       []testfleet.Entry
		Unconfirmed *[]unconfirmed
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, nil, fmt.Errorf("GET /files?%s: %w", query, err)
	}
	if list.Unconfirmed == nil {
		return nil, nil, fmt.Errorf("GET /files?%s does not say who is unconfirmed: %.200q", query, body)
	}
	return list.Files, *list.Unconfirmed, nil
}

// deafen makes cmd run where nobody may be notified of anything.
func deafen(cmd *exec.Cmd) *exec.Cmd {
	program := cmd.Path
	cmd.Path = "/bin/sh"
	cmd.Args = append([]string{"sh", "-c", `echo 0 >/proc/sys/user/max_inotify_instances && exec "$0" "$@"`, program}, cmd.Args[1:]...)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
	cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
	cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	return cmd
}

// A fresh list has every change before the request, with and without notifications,
// and during other changes.
func TestFreshListLacksNothing(t *testing.T) {
	for name, adapt := range map[string]func(*exec.Cmd) *exec.Cmd{
		"notified": func(cmd *exec.Cmd) *exec.Cmd { return cmd },
		"deaf":     deafen,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := adapt(command("/bin/true")).Run(); err != nil {
				t.Skipf("SKIPPED: a process without notifications: %v", err)
			}
			dir := tempDir(t)
			for i := range 10 {
				write(t, dir, fmt.Sprint(i), "there before")
			}
			m := startMaster(t)
			s := launchScout(t, adapt(scoutCommand(m.GRPC, "h", dir)), "h", dir)
			await(t, s.Process, "snapshot sent")
			if name == "deaf" {
				await(t, s.Process, "watches unavailable")
			}
			churn(t, time.Millisecond, func(i int) string { return filepath.Join(dir, fmt.Sprint(i%10), "churn") })
			for i := range rounds(200) {
				made := filepath.Join(fmt.Sprint(i%10), "new", fmt.Sprint(i))
				write(t, dir, made)
				m.has(t, made, true)
				if i%4 == 0 {
					must(t, os.RemoveAll(filepath.Join(dir, filepath.Dir(made))))
					m.has(t, made, false)
				}
			}
		})
	}
}

// has fails the test unless a fresh list has the name, or does not have it.
func (m *master) has(t *testing.T, name string, want bool) {
	t.Helper()
	entries, named, err := m.fresh("fresh=30s&host=h")
	must(t, err)
	listed := false
	for _, e := range entries {
		listed = listed || e.Name() == name
	}
	if listed != want || len(named) > 0 {
		t.Fatalf("%s is listed: %v, want %v; unconfirmed: %v; %s", name, listed, want, named, m.Tail())
	}
}

// A scout that cannot answer is named with the reason, and the others are not.
func TestFreshNamesWhoCannotAnswer(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-deadline", "5s")
	well := startScout(t, m, "well", tempDir(t))
	frozen := startScout(t, m, "frozen", tempDir(t))
	astray := startScout(t, m, "astray", tempDir(t))
	for _, s := range []*scout{well, frozen, astray} {
		write(t, s.dir, "file")
	}
	converges(t, m, well, frozen, astray)
	must(t, os.Remove(filepath.Join(astray.dir, "file")))
	must(t, os.Remove(astray.dir))
	awaitAbsent(t, m, astray)
	must(t, frozen.Pause())

	began := time.Now()
	m.names(t, "fresh=500ms", map[string]string{"frozen": "no answer in time", "astray": "does not exist"})
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("it answered after %s", took)
	}
	m.names(t, "fresh=60s&host=well", nil)
	m.names(t, "fresh=60s", map[string]string{"frozen": "silent past deadline", "astray": "does not exist"})
	m.names(t, "fresh=60s", map[string]string{"astray": "does not exist"}) // the frozen one is not live any more

	signal(t, frozen.Process, syscall.SIGCONT)
	must(t, os.Mkdir(astray.dir, 0o755))
	write(t, astray.dir, "file")
	converges(t, m, well, frozen, astray)
	m.names(t, "fresh=60s", nil)
}

// names fails the test unless a fresh list names these hosts and scoutmasters, with
// reasons that have these words.
func (m *master) names(t *testing.T, query string, want map[string]string) {
	t.Helper()
	_, named, err := m.fresh(query)
	must(t, err)
	ok := len(named) == len(want)
	for _, u := range named {
		words := want[u.Host+u.Scoutmaster]
		ok = ok && words != "" && strings.Contains(u.Reason, words)
	}
	if !ok {
		t.Errorf("%s: unconfirmed: %v, want %v", query, named, want)
	}
}

// The roster has the state of each scout, the scouts that left, and the refused ones.
func TestRoster(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 1)
	gone := startScout(t, m, "gone", tempDir(t))
	expectExit(t, gone.Process, syscall.SIGTERM, stopTime)
	twin := dialRaw(t, m)
	twin.hello("h", s.dir)
	twin.ended()
	var got struct {
		Files  int
		Scouts []struct {
			Host, Directory, State, Version, Heard string
			Files                                  int
		}
		Left    []struct{ Host, Reason string }
		Refused []struct {
			Host, Holder string
			Times        int
		}
	}
	body, err := m.Get("/scouts")
	must(t, err)
	must(t, json.Unmarshal(body, &got))
	if len(got.Scouts) != 1 || got.Scouts[0].Host != "h" || got.Scouts[0].State != "live" || got.Scouts[0].Files != 1 || got.Files != 1 || got.Scouts[0].Directory != s.dir {
		t.Errorf("scouts: %s", body)
	}
	if heard, err := time.Parse(time.RFC3339, got.Scouts[0].Heard); err != nil || time.Since(heard) > patience {
		t.Errorf("heard at %q: %v", got.Scouts[0].Heard, err)
	}
	if len(got.Left) != 1 || got.Left[0].Host != "gone" || got.Left[0].Reason != "deregistered" {
		t.Errorf("left: %s", body)
	}
	if len(got.Refused) != 1 || got.Refused[0].Host != "h" || !strings.Contains(got.Refused[0].Holder, "session") {
		t.Errorf("refused: %s", body)
	}
}
