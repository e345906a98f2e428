package manifests

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"
)

// The workflow follows the schema, and does one thing: it runs .ci/run in a clone.
func TestWorkflow(t *testing.T) {
	const path = "../../.github/workflows/ci.yml"
	lint := exec.Command("go", "tool", "-modfile=../workflows/go.mod", "actionlint", "-shellcheck=", "-pyflakes=", path)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			Permissions any
			Steps       []struct{ Uses, Run string }
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	var steps []string
	for name, job := range workflow.Jobs {
		if job.Permissions != nil {
			t.Errorf("%s has permissions of its own: %v", name, job.Permissions)
		}
		for _, step := range job.Steps {
			steps = append(steps, step.Uses+step.Run)
		}
	}
	want := []string{"actions/checkout@v4", `git config --global --add safe.directory "$GITHUB_WORKSPACE"`, ".ci/run"}
	if !slices.Equal(steps, want) {
		t.Errorf("the steps are %q, not %q", steps, want)
	}
	if !maps.Equal(workflow.Permissions, map[string]string{"contents": "read"}) {
		t.Errorf("the permissions are %v", workflow.Permissions)
	}
	if info, err := os.Stat("../../.ci/run"); err != nil || info.Mode()&0o111 == 0 {
		t.Errorf(".ci/run cannot be executed: %v", err)
	}
}
