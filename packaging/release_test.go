package packaging

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The notes of a release are the section of its version, and no other's.
func TestReleaseNotes(t *testing.T) {
	dir := t.TempDir()
	changelog := "# Changelog\n\n## Unreleased\n\n## v1.2.0 (2026-12-01)\n\n### Added\n\n- This.\n\n## v1.1.0\n\n- That.\n"
	if err := os.WriteFile(dir+"/CHANGELOG.md", []byte(changelog), 0o600); err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("../tools/release-notes")
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string]string{
		"v1.2.0":     "### Added\n\n- This.",
		"v1.1.0":     "- That.",
		"v1.1":       "",
		"Unreleased": "",
	} {
		command := exec.Command("sh", "-c", string(script), "release-notes", version)
		command.Dir = dir
		out, err := command.Output()
		if got := strings.TrimSpace(string(out)); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v, not %q", version, got, err, want)
		}
	}
}
