package manifests

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Grafana knows every field of the dashboard, of its panels and of their queries.
func TestDashboard(t *testing.T) {
	plugins.RegisterDefaultPlugins() // the types of panels
	text, err := os.ReadFile("../../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	decodeStrictly(t, "dashboard", text, new(dashboard.Dashboard))

	var valid dashboard.Dashboard
	var shown struct {
		Panels []struct {
			Title, Type string
			Targets     []json.RawMessage
		}
	}
	for _, v := range []any{&valid, &shown} {
		if err := json.Unmarshal(text, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := valid.Validate(); err != nil {
		t.Error(err)
	}
	for _, p := range shown.Panels {
		if _, known := cog.ConfigForPanelcfgVariant(p.Type); !known && p.Type != "row" {
			t.Errorf("%s: Grafana has no panel %q", p.Title, p.Type)
		}
		if len(p.Targets) == 0 && p.Type != "row" {
			t.Errorf("%s: the panel asks for nothing", p.Title)
		}
		// The strict decoder of a dashboard does not look into them.
		for _, query := range p.Targets {
			decodeStrictly(t, p.Title, query, new(prometheus.Dataquery))
		}
	}
}

// decodeStrictly reports the fields that a type lacks. A type without a fault may
// return an empty list of errors instead of nil.
func decodeStrictly(t *testing.T, name string, text []byte, v interface{ UnmarshalJSONStrict([]byte) error }) {
	t.Helper()
	if err := v.UnmarshalJSONStrict(text); err != nil && err.Error() != "" {
		t.Errorf("%s: %v", name, err)
	}
}
