package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The scoutmaster links the client of NATS only: servers are the user's. The scout
// needs nothing of NATS.
func TestLinkedPackages(t *testing.T) {
	for program, allowed := range map[string]string{
		"scout/cmd/scoutmaster": "github.com/nats-io/nats.go,github.com/nats-io/nkeys,github.com/nats-io/nuid",
		"scout/cmd/scout":       "",
	} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", program).Output()
		if err != nil {
			t.Fatal(err)
		}
		for module := range strings.Lines(string(out)) {
			module = strings.TrimSpace(module)
			if strings.Contains(module, "nats") && !strings.Contains(","+allowed+",", ","+module+",") {
				t.Errorf("%s links %s", program, module)
			}
		}
		if !strings.Contains(string(out), "google.golang.org/grpc") {
			t.Errorf("the dependencies of %s are %q", program, out)
		}
	}
}
