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
		settings := settingsOf(string(text))
		for _, want := range []string{"[Unit]StartLimitIntervalSec=0", "[Service]Restart=always", "[Service]RestartSec=2", "[Service]Type=notify"} {
			if !slices.Contains(settings, want) {
				t.Errorf("%s lacks %s", unit, want)
			}
		}
	}
}

// The drop-in for a fleet configures the scoutmaster by its variables, and lets it
// read what it needs.
func TestFleetDropIn(t *testing.T) {
	text, err := os.ReadFile("../../../packaging/fleet.conf")
	if err != nil {
		t.Fatal(err)
	}
	flags, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	settings := settingsOf(string(text))
	for _, s := range settings {
		assignment, ok := strings.CutPrefix(s, "[Service]Environment=")
		if name, _, _ := strings.Cut(assignment, "="); ok && !strings.Contains(string(flags), "`"+name+"`") {
			t.Errorf("no flag has the variable %s", name)
		}
	}
	for _, want := range []string{"[Service]LoadCredential=nats.creds:/etc/scout/nats.creds", "[Service]Environment=SCOUTMASTER_NATS_CREDS=%d/nats.creds"} {
		if !slices.Contains(settings, want) {
			t.Errorf("the drop-in lacks %s", want)
		}
	}
}

// settingsOf returns the lines of a unit, each behind the name of its section.
func settingsOf(unit string) (settings []string) {
	section := ""
	for line := range strings.Lines(unit) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
		}
		settings = append(settings, section+line)
	}
	return settings
}
