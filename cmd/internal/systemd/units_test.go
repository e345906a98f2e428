package systemd

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// The units restart the programs for ever: an address may be assigned later, and
// a signal from elsewhere ends a program cleanly.
func TestUnitsRestart(t *testing.T) {
	for _, unit := range []string{"scout@.service", "scoutmaster.service"} {
		text, err := os.ReadFile("../../../packaging/" + unit)
		if err != nil {
			t.Fatal(err)
		}
		section, settings := "", []string{}
		for line := range strings.Lines(string(text)) {
			line = strings.TrimSpace(line)
			if strings.HasPrefix(line, "[") {
				section = line
			}
			settings = append(settings, section+line)
		}
		for _, want := range []string{"[Unit]StartLimitIntervalSec=0", "[Service]Restart=always", "[Service]RestartSec=2", "[Service]Type=notify"} {
			if !slices.Contains(settings, want) {
				t.Errorf("%s lacks %s", unit, want)
			}
		}
	}
}
