package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// awkward is a program whose words are hard on roff and shells.
func awkward() Program {
	p := Program{
		Name: "gadget", Synopsis: "-dir DIR", Summary: "it's a \"test\" with \\ and -dashes", EnvPrefix: "TEST_",
		Description: "\n.leading dot\n'leading quote\n\nA second paragraph, 100% ~^`.",
		Examples:    []Example{{`gadget -exclude '**/*.{o,tmp}' \`, "leave out"}, {".hidden", "begin with a dot"}},
	}
	nothing := func(string) error { return nil }
	p.Flags = []Flag{
		{Name: "dir", Value: "DIR", Required: true, Usage: "the directory's name: [any]", Set: nothing},
		{Name: "key", Value: "FILE", Usage: "a file", Set: nothing},
		{Name: "exclude", Value: "GLOB", Split: strings.Fields, Usage: "a\n      glob with \\ in it", Set: nothing},
		{Name: "master", Value: "HOST:PORT", Default: "localhost:3000", Usage: "an address", Set: nothing},
		{Name: "fast-mode", Default: "false", Usage: "on or off", Set: nothing},
	}
	p.Flags = append(p.Flags, new(logOptions).flags(false)...)
	return p
}

func TestManPage(t *testing.T) {
	page := awkward().man()
	for _, f := range awkward().allFlags() {
		if !strings.Contains(page, "\n"+manName(f)+"\n") {
			t.Errorf("-%s is not in the manual page", f.Name)
		}
	}
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
		"-dir DIR", "-fast-mode", "TEST_FAST_MODE", ".leading dot", "'leading quote", `"test" with \ and -dashes`,
		`gadget -exclude '**/*.{o,tmp}' \`, ".hidden", "~^`", "-completion SHELL", "128 + N", "Default: localhost:3000",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page that is set lacks %q:\n%s", want, text)
		}
	}
}

// shell runs a script with the completion in a file, and returns its output.
func shell(t *testing.T, name, script string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	file := filepath.Join(t.TempDir(), "completion")
	if err := os.WriteFile(file, []byte(awkward().completion(name)), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "COMPLETION="+file, "HOME="+cmd.Dir)
	if err := os.Mkdir(filepath.Join(cmd.Dir, "a directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestBashCompletion(t *testing.T) {
	const complete = `set -e; source "$COMPLETION"; COMP_WORDS=(gadget %); COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _gadget; printf '%s,' "${COMPREPLY[@]}"`
	for words, want := range map[string]string{
		"-fa":            "-fast-mode,",
		"-l":             "-log-level,-log-format,",
		"-log-level d":   "debug,",
		"--log-format c": "console,",
		"-dir a":         "a directory,",
		"-completion z":  "zsh,",
		"-master x":      ",",
	} {
		if got := shell(t, "bash", strings.ReplaceAll(complete, "(gadget %)", "(gadget "+words+")")); got != want {
			t.Errorf("test %s: completed as %q, not %q", words, got, want)
		}
	}
	all := strings.Split(shell(t, "bash", strings.ReplaceAll(complete, "(gadget %)", "(test -)")), ",")
	for _, f := range awkward().allFlags() {
		if !slices.Contains(all, "-"+f.Name) {
			t.Errorf("-%s is not completed", f.Name)
		}
	}
}

func TestFishCompletion(t *testing.T) {
	for words, want := range map[string]string{
		"-fa": "-fast-mode\ton or off", "-log-level d": "debug\twhat is logged, on standard error: debug, info, warn or error", "-dir a": "a directory/\tDirectory", "-completion f": "fish\tprint what makes bash, zsh or fish complete flags, and exit",
	} {
		if got := shell(t, "fish", `source $COMPLETION; complete -C "gadget `+words+`"`); got != want {
			t.Errorf("test %s: completed as %q, not %q", words, got, want)
		}
	}
	all := shell(t, "fish", `source $COMPLETION; complete -C "gadget -"`)
	for _, f := range awkward().allFlags() {
		if !strings.Contains(all, "-"+f.Name+"\t") {
			t.Errorf("-%s is not completed", f.Name)
		}
	}
}

// zsh completes only at a keyboard; here it reads the script, and what
// _arguments is given.
func TestZshCompletion(t *testing.T) {
	got := shell(t, "zsh", `compdef() { : }; _arguments() { print -rl -- "$@" }; source $COMPLETION; _gadget`)
	for _, f := range awkward().allFlags() {
		if !strings.Contains("\n"+strings.ReplaceAll(got, "\n*", "\n"), "\n-"+f.Name+"[") {
			t.Errorf("-%s is not completed:\n%s", f.Name, got)
		}
	}
	for _, want := range []string{
		`-dir[the directory's name\: \[any\]]:DIR:_files -/`, `-log-level[what is logged, on standard error\: debug, info, warn or error]:LEVEL:(debug info warn error)`,
		`*-exclude[a glob with \\ in it]:GLOB: `, `-fast-mode[on or off]`,
	} {
		if !strings.Contains("\n"+got+"\n", "\n"+want+"\n") {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}

// Both are said in place of doing the work, without what that would need.
func TestAsides(t *testing.T) {
	for args, want := range map[string]string{
		"-man": ".TH GADGET 8", "-completion=bash": "complete -o filenames -F _gadget gadget", "-completion fish": "complete -c gadget",
		"-completion zsh": "#compdef gadget", "-version": "gadget ", "-help": "-completion SHELL",
	} {
		p := awkward()
		p.Flags = p.Flags[:1]
		var out, log bytes.Buffer
		code := p.main(strings.Fields(args), system{getenv: func(string) string { return "" }, stdout: &out, stderr: &log})
		if code != exitOK || !strings.Contains(out.String(), want) || log.Len() > 0 {
			t.Errorf("%s: exit code %d, %q, %s", args, code, out.String(), &log)
		}
	}
	for args, want := range map[string]string{
		"-completion tcsh": `flag -completion: \"tcsh\" is none of bash, zsh, fish`,
		"-completion":      `flag -completion: \"\" is none of bash, zsh, fish`,
	} {
		var out, log bytes.Buffer
		p := awkward()
		p.Flags = p.Flags[:1]
		code := p.main(strings.Fields(args), system{getenv: func(string) string { return "" }, stdout: &out, stderr: &log})
		if code != exitUsage || !strings.Contains(log.String(), want) || out.Len() > 0 {
			t.Errorf("%s: exit code %d, %s", args, code, &log)
		}
	}
}
