//go:build linux

package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"scout/cmd/internal/chaos/history"
	"scout/cmd/internal/testfleet"
)

var long = flag.Bool("long", false, "run the tests that take minutes")

// mutant is a program that is broken on purpose.
type mutant struct {
	name      string
	file      string // from the root of the tree
	old       string // is there once
	broken    string // takes its place
	variables string // that broken needs
	want      []history.Rule
}

var mutants = []mutant{
	{
		name: "one change in a hundred is not listed",
		file: "internal/master/state.go",
		old:  "		if _, err := tx.Change(x.source, d); err != nil {\n",
		broken: `		if changes++; changes%100 == 0 {
			s.setSource(x, x.source, names)
			break
		}
		if _, err := tx.Change(x.source, d); err != nil {
`,
		variables: "changes int",
		want:      []history.Rule{history.Missing, history.Ghost},
	},
	{
		name: "one notification in a hundred is lost",
		file: "internal/watch/hints.go",
		old:  "	h.tally()\n",
		broken: `	h.tally()
	if notifications++; notifications%100 == 0 {
		return
	}
`,
		variables: "notifications int",
		want:      []history.Rule{history.Missing, history.Ghost},
	},
	{
		name: "every other scout that leaves stays listed",
		file: "internal/master/state.go",
		old:  "	s.drop(tx, x)\n	x.end(reason)\n",
		broken: `	if leaves++; leaves%2 == 0 {
		s.drop(tx, x)
	}
	x.end(reason)
`,
		variables: "leaves int",
		want:      []history.Rule{history.Lives, history.Malformed},
	},
	{
		name:   "silence is never noticed",
		file:   "internal/stream/liveness.go",
		old:    "	left := deadline - l.silence()\n",
		broken: "	left := deadline - min(deadline/2, l.silence())\n",
		want:   []history.Rule{history.Lives},
	},
	{
		name: "one change in fifty is not told to those who watch",
		file: "internal/web/watcher.go",
		old:  "	removed, added := w.pick(",
		broken: `	if told++; told%50 == 0 {
		w.at = c.Revision
		return false, nil
	}
	removed, added := w.pick(`,
		variables: "told int",
		want:      []history.Rule{history.Reused, history.Malformed},
	},
	{
		name: "one revision in fifty is used again",
		file: "internal/listing/listing.go",
		old:  "func (tx *Tx) revise() { tx.v.Revision = tx.v.Position }\n",
		broken: `func (tx *Tx) revise() {
	if revisions++; revisions%50 != 0 {
		tx.v.Revision = tx.v.Position
	}
}
`,
		variables: "revisions int",
		want:      []history.Rule{history.Reused},
	},
	{
		name: "one revision in fifty goes back",
		file: "internal/listing/listing.go",
		old:  "func (tx *Tx) revise() { tx.v.Revision = tx.v.Position }\n",
		broken: `func (tx *Tx) revise() {
	tx.v.Revision = tx.v.Position
	if revisions++; revisions%50 == 0 {
		tx.v.Revision -= 10
	}
}
`,
		variables: "revisions int",
		want:      []history.Rule{history.Backwards, history.Reused},
	},
}

// What is to be broken is there.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) { m.overlay(t, t.TempDir()) })
	}
}

// A judge who lets broken programs pass is of no use.
func TestMutantsAreNoticed(t *testing.T) {
	if !*long {
		t.Skip("takes minutes: run it with -long")
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			dir := t.TempDir()
			programs, err := testfleet.Build(dir, "-overlay", m.overlay(t, dir))
			if err != nil {
				t.Fatal(err)
			}
			p := plan{
				programs: programs, seed: seed(t), scouts: 6, scale: slowness(), history: filepath.Join(dir, "history"),
				faults: 15 * time.Second, rest: 3 * time.Second, calm: time.Second,
			}
			for range 4 {
				r, err := p.play(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				t.Log(p, r)
				if i := slices.IndexFunc(r.violations, func(v history.Violation) bool { return slices.Contains(m.want, v.Rule) }); i >= 0 {
					t.Log(r.violations[i], r.checker.Excerpt(r.violations[i]))
					return
				}
				p.seed++
			}
			t.Error("not noticed")
		})
	}
}

// overlay returns the file that has the programs built with the mutant's file.
func (m mutant) overlay(t *testing.T, dir string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../..", m.file))
	must(t, err)
	source, err := os.ReadFile(path)
	must(t, err)
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s has %d times %q", m.file, n, m.old)
	}
	mutated := strings.Replace(string(source), m.old, m.broken, 1)
	if m.variables != "" {
		mutated += "\nvar " + m.variables + "\n"
	}
	replacement := filepath.Join(dir, "mutant.go")
	must(t, os.WriteFile(replacement, []byte(mutated), 0o600))
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: replacement}})
	must(t, err)
	file := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(file, overlay, 0o600))
	return file
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
