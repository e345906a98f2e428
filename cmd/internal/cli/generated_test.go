package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// awkward is a program whose words are hard on roff and shells.
func awkward() Program {
	p := Program{
		Name: "gadget", Synopsis: "-dir DIR", Summary: "it's a \"test\" with \\ and -dashes", EnvPrefix: "TEST_",
		Description: "\n.leading dot\n'leading quote\n\nA second paragraph, 100% ~^`.",
		Examples:    []struct{ Command, Meaning string }{{`gadget -exclude '**/*.{o,tmp}' \`, "leave out"}, {".hidden", "begin with a dot"}},
	}
	nothing := func(string) error { return nil }
	p.Flags = []Flag{
		{Name: "dir", Value: "DIR", Required: true, Usage: "the directory's name: [any]", Set: nothing},
		{Name: "key", Value: "FILE", Usage: "a file", Set: nothing},
		{Name: "exclude", Value: "GLOB", Split: strings.Fields, Usage: "a glob with \\ in it", Set: nothing},
		{Name: "master", Value: "HOST:PORT", Default: "localhost:3000", Usage: "an address", Set: nothing},
		{Name: "fast-mode", Default: "false", Usage: "on or off", Set: nothing},
	}
	return p
}

// printed is the output of the program, which must only print something.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	b := newBench()
	if code := b.run(awkward(), args...); code != exitOK || b.stderr.String() != "" {
		t.Fatalf("%q: exit code %d, %s", args, code, b.stderr.String())
	}
	return b.stdout.String()
}

func TestManPage(t *testing.T) {
	page := printed(t, "man")
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("groff is not installed")
	}
	cmd := exec.Command(groff, "-ww", "-man", "-Tutf8", "-P-cbou")
	cmd.Stdin = strings.NewReader(page)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	set, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("groff: %v: %s", err, &complaints)
	}
	text := strings.ReplaceAll(string(set), "‐", "-")
	for _, want := range []string{
		"-dir DIR", "-fast-mode", "TEST_FAST_MODE", ".leading dot", "'leading quote", `"test" with \ and -dashes`, "the directory's name: [any]",
		`gadget -exclude '**/*.{o,tmp}' \`, ".hidden", "~^`", "completion", "128 + N", "Default: localhost:3000", "Repeatable", "-log-format FORMAT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page that is set lacks %q:\n%s", want, text)
		}
	}
}

// installed puts the program into a directory with its completion scripts, and
// returns the environment in which shells find it.
func installed(t *testing.T) (dir string, env []string) {
	t.Helper()
	dir = t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "gadget")); err != nil {
		t.Fatal(err)
	}
	for shell, file := range map[string]string{"bash": "gadget.bash", "zsh": "_gadget", "fish": "gadget.fish"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(printed(t, "completion", shell)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a directory", "b.pem"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return dir, append(os.Environ(), runAwkward+"=1", "GORACE=atexit_sleep_ms=0", "HOME="+dir, "PATH="+dir+":"+os.Getenv("PATH"))
}

// shell runs a script where the program and its completion are installed, and
// returns its output.
func shell(t *testing.T, name, script string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	dir, env := installed(t)
	cmd := exec.Command(path, append([]string{"-c", script}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

// completes checks the completions that a shell prints, one a line.
func completes(t *testing.T, printed string, cases [][2]string) {
	t.Helper()
	lines := strings.Split(printed, "\n")
	if len(lines) != len(cases) {
		t.Fatalf("%d lines for %d cases: %q", len(lines), len(cases), lines)
	}
	for i, c := range cases {
		if lines[i] != c[1] {
			t.Errorf("%s: completed as %q, not %q", c[0], lines[i], c[1])
		}
	}
}

func words(cases [][2]string) (all []string) {
	for _, c := range cases {
		all = append(all, c[0])
	}
	return all
}

// Once with and once without the package bash-completion, on which the library's
// script builds.
func TestBashCompletion(t *testing.T) {
	const script = `source gadget.bash
for line; do
	COMP_WORDS=($line); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); COMP_LINE=$line; COMP_POINT=${#line}
	__gadget_bash_autocomplete
	echo "${COMPREPLY[*]}."
done`
	cases := [][2]string{
		{"gadget -fa", "-fast-mode."},
		{"gadget --fa", "--fast-mode."},
		{"gadget -l", "-log-level -log-format."},
		{"gadget --l", "--log-level --log-format."},
		{"gadget -log-level d", "debug."},
		{"gadget --log-format c", "console."},
		{"gadget -fast-mode t", "true."},
		{"gadget c", "completion."},
		{"gadget completion z", "zsh."},
		{"gadget -master x", "."},
		{"gadget -dir a", "."},
		{"gadget -dir x -ke", "-key."},
	}
	packages := []string{""}
	if _, err := os.Stat("/usr/share/bash-completion/bash_completion"); err == nil {
		packages = append(packages, "source /usr/share/bash-completion/bash_completion\n")
	}
	for _, pkg := range packages {
		completes(t, shell(t, "bash", pkg+script, append([]string{"bash"}, words(cases)...)...), cases)
	}
}

func TestFishCompletion(t *testing.T) {
	cases := [][2]string{
		{"gadget -fa", "-fast-mode\ton or off"},
		{"gadget --fa", "--fast-mode\ton or off"},
		{"gadget -log-level d", "debug"},
		{"gadget -key b", "b.pem/"},
		{"gadget completion z", "zsh\tOutput zsh completion script"},
	}
	completes(t, shell(t, "fish", `source gadget.fish; for line in $argv; complete -C $line; end`, words(cases)...), cases)
}

// zsh completes at a keyboard only, so the test types at one. The script is in
// the path of functions that zsh loads when they are needed first.
func TestZshCompletion(t *testing.T) {
	const script = `zmodload zsh/zpty
for line; do
	zpty keyboard zsh -f -i
	zpty -w keyboard 'fpath=($PWD $fpath); autoload -U compinit; compinit -u -D
dump() { print -r -- $BUFFER >$HOME/.buffer; exit }; zle -N dump; bindkey "^T" dump; print -r rea""dy'
	zpty -r keyboard output '*ready*'
	zpty -w -n keyboard "$line"$'\t\x14'
	while zpty -r keyboard output; do :; done 2>/dev/null
	zpty -d keyboard
	print -r -- "$(<.buffer)"
done`
	cases := [][2]string{
		{"gadget -fa", "gadget -fast-mode "},
		{"gadget --fa", "gadget --fast-mode "},
		{"gadget -log-level d", "gadget -log-level debug "},
		{"gadget completion z", "gadget completion zsh "},
		{"gadget -key b", "gadget -key b.pem/"},
		{"gadget -dir x --lo", "gadget -dir x --log-"},
	}
	completes(t, shell(t, "zsh", script, append([]string{"zsh"}, words(cases)...)...), cases)
}

func TestCompletionOfNoShell(t *testing.T) {
	for _, args := range [][]string{{"completion", "tcsh"}, {"completion"}, {"-completion=tcsh"}} {
		b := newBench()
		code := b.run(awkward(), args...)
		if code != exitUsage || !strings.Contains(b.stderr.String(), "none of bash, zsh, fish") || b.stdout.String() != "" {
			t.Errorf("%q: exit code %d, %s", args, code, b.stderr.String())
		}
	}
}
