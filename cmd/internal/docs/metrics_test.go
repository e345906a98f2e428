package docs

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/metrics"
	"scout/internal/roster"
	"scout/internal/web"
)

const root = "../../.."

func TestMetrics(t *testing.T) {
	master := metrics.NewScoutmaster("")
	master.Read(func() roster.Counts { return roster.Counts{} }, func() int { return 0 })
	master.Answered(web.Answer{Route: "/files", Status: http.StatusOK})
	scout := metrics.NewScout("", func() files.View { return files.View{} })
	for program, handler := range map[string]http.Handler{"scoutmaster": master.Handler(zap.NewNop()), "scout": scout.Handler(zap.NewNop())} {
		Section(t, root+"/docs/operations.md", program+" metrics", metricTable(t, program+"_", handler))
	}
}

// metricTable is a table of the metrics that h exposes and whose names begin
// with the prefix.
func metricTable(t *testing.T, prefix string, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d, %v: %s", w.Code, err, w.Body)
	}
	var rows [][]string
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if f := families[name]; strings.HasPrefix(name, prefix) {
			rows = append(rows, []string{"`" + name + "`", strings.ToLower(f.GetType().String()), labels(f), f.GetHelp()})
		}
	}
	return Table([]string{"metric", "type", "labels", "meaning"}, rows)
}

// free are the labels whose values are not a fixed set.
var free = []string{"version", "route", "code"}

// labels describes the labels of a metric, and their values.
func labels(f *dto.MetricFamily) string {
	values := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			values[l.GetName()] = append(values[l.GetName()], "`"+l.GetValue()+"`")
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		slices.SortFunc(values[name], cmp.Compare[string])
		if slices.Contains(free, name) {
			all = append(all, name)
			continue
		}
		all = append(all, fmt.Sprintf("%s: %s", name, strings.Join(slices.Compact(values[name]), ", ")))
	}
	return strings.Join(all, "; ")
}
