package watch

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"scout/internal/files"
)

// patience is how long anything may take that is to happen. Nothing waits for
// it except a test that fails.
const patience = 30 * time.Second

// mode is a way to learn of changes.
type mode struct {
	name    string
	options Options
}

// modes are the two ways. With notifications the poll comes too late to help.
var modes = []mode{
	{"notified", Options{Notify: true, Poll: time.Hour, Recursive: true}},
	{"polled", Options{Poll: 2 * time.Millisecond, Recursive: true}},
}

func eachMode(t *testing.T, test func(t *testing.T, o Options)) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) { test(t, m.options) })
	}
}

// subject is a Watcher at work on a directory.
type subject struct {
	*Watcher
	t    testing.TB
	dir  string
	logs *observer.ObservedLogs
	stop func()
}

// start watches dir until the test ends.
func start(t testing.TB, dir string, o Options, adapt ...func(*Watcher)) *subject {
	t.Helper()
	c, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	o.Log = zap.New(core)
	w, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range adapt {
		a(w)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	s := &subject{Watcher: w, t: t, dir: c.Dir(), logs: logs}
	s.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run ended with %v", err)
		}
		c.Release()
		if n := logs.FilterMessage("changes do not fit").Len(); n > 0 {
			t.Errorf("changes did not fit the Set: %v", logs.FilterMessage("changes do not fit").All())
		}
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	return s
}

// until waits for the View to be as wanted, looking whenever it changes.
func (s *subject) until(what string, wanted func(files.View) bool) {
	s.t.Helper()
	timeout := time.After(patience)
	again := time.NewTicker(5 * time.Millisecond) // wanted may depend on the disk
	defer again.Stop()
	for {
		if v := s.View(); wanted(v) {
			return
		}
		select {
		case <-s.Changed():
		case <-again.C:
		case <-timeout:
			s.t.Fatalf("waited for %s: view is %s", what, describe(s.View()))
		}
	}
}

// converge waits until the View is what find prints.
func (s *subject) converge() {
	s.t.Helper()
	want := find(s.t, s.dir)
	s.t.Cleanup(func() {
		if v := s.View(); s.t.Failed() && v.Set != nil {
			got, want := names(v.Set), find(s.t, s.dir)
			s.t.Logf("missing %q, too many %q", without(want, got), without(got, want))
		}
	})
	s.until("what find prints", func(v files.View) bool {
		return v.Set != nil && slices.Equal(names(v.Set), want)
	})
}

// convergeTo waits until exactly these names are listed. Of what cannot be read,
// find lists too much: subdirectories of directories that cannot be searched.
func (s *subject) convergeTo(want ...string) {
	s.t.Helper()
	s.until(strings.Join(want, " "), func(v files.View) bool {
		return v.Set != nil && strings.Join(names(v.Set), " ") == strings.Join(want, " ")
	})
}

// without returns a few of the names in a that are not in b.
func without(a, b []string) []string {
	in := map[string]bool{}
	for _, n := range b {
		in[n] = true
	}
	var out []string
	for _, n := range a {
		if !in[n] && len(out) < 10 {
			out = append(out, n)
		}
	}
	return out
}

func (s *subject) unavailable(reason string) {
	s.t.Helper()
	s.until(reason, func(v files.View) bool { return v.Set == nil && strings.Contains(v.Reason, reason) })
}

// logged waits for a message in the log.
func (s *subject) logged(message string) {
	s.t.Helper()
	s.until("log message "+message, func(files.View) bool { return s.logs.FilterMessage(message).Len() > 0 })
}

func describe(v files.View) string {
	if v.Set == nil {
		return fmt.Sprintf("unavailable: %s (%d scanned)", v.Reason, v.Scanned)
	}
	n := names(v.Set)
	return fmt.Sprintf("%d files, %d unreadable, %d polled: %.500q", len(n), v.Unreadable, v.Polled, n)
}

// names returns the names in the Set, which must ascend strictly.
func names(s *files.Set) []string {
	out := make([]string, 0, s.Len())
	for c := s.Cursor(); c.Next(); {
		out = append(out, string(c.Name()))
	}
	if !slices.IsSorted(out) || len(slices.Compact(slices.Clone(out))) != len(out) {
		panic("names are out of order or repeated")
	}
	return out
}

// find returns what find lists of dir, sorted.
func find(t testing.TB, dir string) []string {
	t.Helper()
	out, err := exec.Command("find", dir, "!", "-type", "d", "-printf", `%P\0`).Output()
	if err != nil {
		t.Fatal("find:", err)
	}
	var all []string
	for name := range bytes.SplitSeq(bytes.TrimSuffix(out, []byte{0}), []byte{0}) {
		if len(name) > 0 {
			all = append(all, string(name))
		}
	}
	slices.Sort(all)
	return all
}

// shell runs commands in dir.
func shell(t testing.TB, dir, script string) {
	t.Helper()
	cmd := exec.Command("bash", "-euc", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

func write(t testing.TB, path ...string) {
	t.Helper()
	for _, p := range path {
		if err := os.WriteFile(p, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func mkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// in returns a directory to watch, with neighbours that are not watched: its
// parent is the test's own.
func in(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "watched")
	mkdir(t, dir)
	return dir
}

// listed returns the tree of dir, which has been scanned, and does not run: the
// test takes its steps. n is nil for the poll alone.
func listed(t testing.TB, dir string, n func(*Watcher) notifier) *tree {
	t.Helper()
	c, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Release)
	w, err := New(c, Options{Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	var watches notifier
	if n != nil {
		watches = n(w)
		t.Cleanup(watches.close)
	}
	f := w.newForest(watches)
	home, _ := readMounts().at(c.Dir())
	tree := newTree(f, "", home, watches)
	f.trees[""] = tree
	f.sort()
	f.route()
	tree.ctx = context.Background()
	if err := tree.begin(); err != nil {
		t.Fatal(err)
	}
	if err := tree.firstScan(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tree.recovery.stop)
	return tree
}

// scanned returns a tree that is listed, and whose directories are watched.
func scanned(t testing.TB, dir string, n func(*Watcher) notifier) *tree {
	t.Helper()
	tree := listed(t, dir, n)
	for tree.canWatch() {
		tree.watchSome()
	}
	must(t, tree.settle())
	return tree
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
