//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

var long = flag.Bool("long", false, "run the tests that take minutes")

// mutant is a program with a bug on purpose: code inserted at the beginning of one
// of its functions. The code may use a counter, mutantCalls.
type mutant struct {
	name     string
	dir      string // of the package, from the root of the tree
	receiver string // the type whose method it is, or ""
	function string
	code     string
	want     []history.Rule
	test     string // of the package: has to fail, and no history is needed
}

// overAFaultyLog are the tests of many scoutmasters over a log that delays, doubles,
// drops and truncates, and is made anew.
const overAFaultyLog = "^(TestStatesOverAFaultyLog|TestScoutsOverAFaultyLog)$"

var mutants = []mutant{
	{
		name: "one change in a hundred is not listed",
		dir:  "internal/listing", receiver: "Tx", function: "Change",
		code: "if mutantCalls++; mutantCalls%100 == 0 { return 0, nil }",
		want: []history.Rule{history.Missing, history.Stale},
	},
	{
		name: "one notification in a hundred is lost",
		dir:  "internal/watch", receiver: "router", function: "add",
		code: "if mutantCalls++; mutantCalls%100 == 0 { return true }",
		want: []history.Rule{history.Missing, history.Stale},
	},
	{
		name: "every other scout that is gone or unavailable stays listed",
		dir:  "internal/master", receiver: "State", function: "drop",
		code: "if mutantCalls++; mutantCalls%2 == 0 { return }",
		want: []history.Rule{history.Lives, history.Malformed},
	},
	{
		name: "silence is never noticed",
		dir:  "internal/stream", receiver: "liveness", function: "silent",
		code: "return 0",
		want: []history.Rule{history.Lives},
	},
	{
		name: "one change in fifty is not told to watchers",
		dir:  "internal/web", receiver: "watcher", function: "tell",
		code: "if mutantCalls++; mutantCalls%50 == 0 { w.at = c.Revision; return false, nil }",
		want: []history.Rule{history.Reused, history.Malformed},
	},
	{
		name: "one revision in fifty is used again",
		dir:  "internal/listing", receiver: "Tx", function: "revise",
		code: "if mutantCalls++; mutantCalls%50 == 0 { return }",
		want: []history.Rule{history.Reused},
	},
	{
		name: "one revision in fifty goes back",
		dir:  "internal/listing", receiver: "Tx", function: "revise",
		code: "if mutantCalls++; mutantCalls%50 == 0 { defer func() { tx.v.Revision -= 10 }() }",
		want: []history.Rule{history.Backwards, history.Reused},
	},
	{
		name: "a scout that joins takes an origin from whoever holds it",
		dir:  "internal/master", receiver: "State", function: "free",
		code: "return true", test: overAFaultyLog,
	},
	{
		name: "a buried scoutmaster's sessions stay",
		dir:  "internal/master", receiver: "State", function: "bury",
		code: "m.sessions = nil", test: overAFaultyLog,
	},
	{
		name: "serials are not compared",
		dir:  "internal/master", receiver: "State", function: "applySession",
		code: "if x := s.masters[e.Session.Instance]; x != nil && x.sessions[e.Session.Number] != nil { e = &Entry{e.Epoch, e.Session, x.sessions[e.Session.Number].serial + 1, e.Body} }",
		test: overAFaultyLog,
	},
	{
		name: "a revision advances on nothing",
		dir:  "internal/listing", receiver: "Tx", function: "Advance",
		code: "if mutantCalls++; mutantCalls%50 == 0 { tx.v.Revision = position }", test: overAFaultyLog,
	},
	{
		name: "a newcomer follows from one entry too late",
		dir:  "internal/master", receiver: "State", function: "Restore",
		code: "defer func() { s.mu.Lock(); s.position++; s.mu.Unlock() }()", test: overAFaultyLog,
	},
	{
		name: "digests are not compared at an adoption",
		dir:  "internal/master", receiver: "State", function: "inherit",
		code: "x.scout.Has = append(x.scout.Has, from.names)", test: overAFaultyLog,
	},
}

// Every mutant can be built.
func TestMutantsBuild(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			overlay := m.overlay(t, t.TempDir())
			out, err := exec.Command("go", "build", "-overlay", overlay, "scout/"+m.dir).CombinedOutput()
			if err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// Chaos finds the bug of each mutant.
func TestMutantsAreNoticed(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: run it with -long")
	}
	for _, m := range mutants {
		if m.test != "" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			p := plan{scouts: 6, faults: 15 * time.Second, rest: 3 * time.Second, calm: time.Second}
			m.play(t, p, func(_ plan, r result) bool {
				i := slices.IndexFunc(r.violations, func(v history.Violation) bool { return slices.Contains(m.want, v.Rule) })
				if i >= 0 {
					t.Log(r.violations[i], r.checker.Excerpt(r.violations[i]))
				}
				return i >= 0
			})
		})
	}
}

// Chaos with several masters finds the bugs of the others. Without a bug there are
// neither violations nor complaints.
func TestFleetMutantsAreNoticed(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: run it with -long")
	}
	nats, err := natsserver.Build(t.TempDir())
	must(t, err)
	for _, m := range mutants {
		if m.test == "" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			p := plan{scouts: 6, faults: 40 * time.Second, rest: 3 * time.Second, calm: 5 * time.Second}.shared(nats)
			p.rivals = rivalsWork() == nil
			m.play(t, p, func(p plan, r result) bool {
				err := r.wrong(p)
				if err != nil {
					t.Logf("%.3000s", err)
				}
				return err != nil
			})
		})
	}
}

// play makes runs of the mutant until its bug is noticed. Each has another seed.
func (m mutant) play(t *testing.T, p plan, noticed func(plan, result) bool) {
	t.Helper()
	dir := t.TempDir()
	programs, err := testfleet.Build(dir, "-overlay", m.overlay(t, dir))
	must(t, err)
	p.programs, p.seed, p.scale, p.history = programs, seed(t), slowness(), filepath.Join(dir, "history")
	for range 4 {
		r, err := p.play(t.Context())
		must(t, err)
		t.Log(p, r)
		if noticed(p, r) {
			return
		}
		p.seed++
	}
	t.Error("not noticed")
}

// The tests over a faulty log find the bugs of mutants too.
func TestLogMutantsAreNoticed(t *testing.T) {
	if !*long {
		t.Skip("takes a minute: run it with -long")
	}
	for _, m := range mutants {
		if m.test == "" {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			overlay := m.overlay(t, t.TempDir())
			out, err := exec.Command("go", "test", "-count=1", "-timeout=4m", "-overlay", overlay, "-run", m.test, "scout/internal/master").CombinedOutput()
			if err == nil {
				t.Error("not noticed")
			}
			if !strings.Contains(string(out), "--- FAIL: Test") && !strings.Contains(string(out), "panic:") {
				t.Errorf("no test has failed: %s", out)
			}
			t.Logf("%.2000s", out)
		})
	}
}

// overlay writes the file for -overlay of go build with the mutant's code, and
// returns its path.
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	path, source, body := m.find(t)
	mutated := fmt.Sprintf("%s\n%s\n%s\nvar mutantCalls int\n", source[:body], m.code, source[body:])
	replacement := filepath.Join(dir, "mutant.go")
	must(t, os.WriteFile(replacement, []byte(mutated), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: replacement}})
	must(t, err)
	file := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(file, overlay, 0o600))
	return file
}

// find returns the file that has the mutant's function, and where in it the
// function's body begins.
func (m mutant) find(t *testing.T) (path string, source []byte, body int) {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../..", m.dir))
	must(t, err)
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, path := range paths {
		source, err := os.ReadFile(path)
		must(t, err)
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, source, 0)
		must(t, err)
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == m.function && receiver(f) == m.receiver {
				return path, source, files.Position(f.Body.Lbrace).Offset + 1
			}
		}
	}
	t.Fatalf("%s has no function %s of %q: name the one that does its work", m.dir, m.function, m.receiver)
	return "", nil, 0
}

// receiver returns the name of the type whose method f is, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	name, _ := typ.(*ast.Ident)
	if name == nil {
		return ""
	}
	return name.Name
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
