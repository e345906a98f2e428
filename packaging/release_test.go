package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const changelog = `# Changelog

## Unreleased

## v1.2.0 (2026-12-01)

### Added

- This: ` + "`\\n` and `\\|`" + `.

## v1.1.0

- That.
`

// The notes of a release are the section of its version, byte for byte, and no other's.
func TestReleaseNotes(t *testing.T) {
	dir := repository(t)
	for version, want := range map[string]string{
		"v1.2.0":     "### Added\n\n- This: `\\n` and `\\|`.\n",
		"v1.1.0":     "- That.\n",
		"v1.1":       "",
		"Unreleased": "",
	} {
		out, err := script(t, dir, "release-notes", version).Output()
		if string(out) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, not %q", version, out, err, want)
		}
	}
}

// A commit is released only once, as a version, with notes and nothing uncommitted.
// Every refusal is one line, which says what to do.
func TestReleasable(t *testing.T) {
	dir := repository(t)
	check := func(version, want string) {
		t.Helper()
		out, err := script(t, dir, "releasable", version).CombinedOutput()
		got := string(out)
		if (err == nil) != (want == "") || !strings.Contains(got, want) || strings.Count(got, "\n") != min(1, len(want)) {
			t.Errorf("%s: %q, %v, not %q", version, got, err, want)
		}
	}
	check("v1.2.0", "")
	check("abcdef0", "abcdef0 is no version: give VERSION=")
	check("1.2.0", "1.2.0 is no version: give VERSION=")
	check("v1.3.0", `no section "## v1.3.0": move the entries`)

	git(t, dir, "tag", "-a", "v1.2.0", "-m", "v1.2.0")
	check("v1.2.0", "") // the same commit may be built again

	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("new", "")
	check("v1.2.0", "not committed: commit or remove")
	git(t, dir, "add", "new")
	git(t, dir, "commit", "-q", "-m", "more")
	check("v1.2.0", "the tag v1.2.0 is on another commit: choose the next version")
	write("CHANGELOG.md", changelog+"\n## v1.0.0\n")
	check("v1.1.0", "not committed: commit or remove")
	git(t, dir, "commit", "-q", "-a", "-m", "an empty section")
	check("v1.0.0", `no section "## v1.0.0"`)
	check("v1.1.0", "")
}

// repository is a repository with one commit, which has the changelog.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	if err := os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte(changelog), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, dir, "add", "CHANGELOG.md")
	git(t, dir, "commit", "-q", "-m", "one")
	return dir
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// script is one of the tree's scripts, to be run in a directory.
func script(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../tools", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	return cmd
}
