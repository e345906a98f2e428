//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

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
		if n := len(events(p, 0, "scout dropped")) + len(events(p, 0, "master lost")) + len(events(p, 0, "events lost")); n > 0 {
			t.Error(tail(p))
		}
	}
	synced := events(m.Process, 0, "files synced")
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
