package metrics

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"go.uber.org/zap"

	"scout/internal/alloctest"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/roster"
	"scout/internal/stream"
	"scout/internal/web"
)

// busyMaster returns the metrics of a scoutmaster after one event of each kind.
func busyMaster() *Scoutmaster {
	m := NewScoutmaster("v1")
	m.Read(func() roster.Counts {
		return roster.Counts{
			Own:          roster.Tally{Scouts: map[roster.State]int{roster.Live: 3, roster.Gone: 2}, Files: 42},
			Fleet:        roster.Tally{Scouts: map[roster.State]int{roster.Live: 9, roster.Gone: 3}, Files: 142},
			Scoutmasters: map[roster.ScoutmasterState]int{roster.ScoutmasterLive: 2, roster.ScoutmasterCutOff: 1},
			CutOff:       true, Lag: 1500 * time.Millisecond, Foreign: 5,
		}
	}, func() int { return 3 })
	m.Refused(stream.RefusedHeld)
	m.Left(stream.LeftSilent)
	m.Snapshot(1000, 14000, time.Second)
	m.Change(2, 1, time.Millisecond)
	m.Resync()
	m.HeartbeatMissed()
	m.Began()
	m.Answered(web.Answer{Route: "/files", Status: 200, Bytes: 17, Took: time.Millisecond})
	m.Began()
	m.Answered(web.Answer{Route: "/files", Status: 200, Bytes: 3, Took: time.Hour, Stream: true})
	m.Began()
	return m
}

func busyScout() *Scout {
	view := files.View{Set: filestest.Set("a", "b"), Unreadable: 1, Polled: 2}
	s := NewScout("v1", func() files.View { return view })
	s.Registered()
	s.SnapshotSent(2, 6, time.Second)
	s.ChangeSent(1, 2, 9, time.Millisecond)
	s.ResyncRequested()
	return s
}

// exposed returns the text that a scraper gets.
func exposed(t *testing.T, e exposition) string {
	t.Helper()
	w := httptest.NewRecorder()
	e.handler(zap.NewNop()).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String()
}

func TestExposition(t *testing.T) {
	for _, tc := range []struct {
		name string
		e    exposition
		want []string
	}{
		{"scoutmaster", busyMaster().exposition, []string{
			`scoutmaster_build_info{version="v1"} 1`,
			`scoutmaster_scouts{state="live"} 3`,
			`scoutmaster_scouts{state="unavailable"} 0`,
			`scoutmaster_scouts{state="gone"} 2`,
			`scoutmaster_files 42`,
			`scoutmaster_fleet_scouts{state="live"} 9`,
			`scoutmaster_fleet_scouts{state="gone"} 3`,
			`scoutmaster_fleet_scouts{state="scanning"} 0`,
			`scoutmaster_fleet_files 142`,
			`scoutmaster_fleet_scoutmasters{state="live"} 2`,
			`scoutmaster_fleet_scoutmasters{state="cut off"} 1`,
			`scoutmaster_fleet_scoutmasters{state="gone"} 0`,
			`scoutmaster_cut_off 1`,
			`scoutmaster_log_lag_seconds 1.5`,
			`scoutmaster_log_foreign_messages_total 5`,
			`scoutmaster_log_replicas 3`,
			`scoutmaster_registrations_refused_total{reason="held"} 1`,
			`scoutmaster_scouts_dropped_total{reason="silent past deadline"} 1`,
			`scoutmaster_scouts_dropped_total{reason="replaced"} 0`,
			`scoutmaster_changes_total{change="added"} 2`,
			`scoutmaster_changes_total{change="removed"} 1`,
			`scoutmaster_change_visible_seconds_count 1`,
			`scoutmaster_change_visible_seconds_bucket{le="0.001"} 1`,
			`scoutmaster_snapshot_seconds_count 1`,
			`scoutmaster_snapshot_bytes_sum 14000`,
			`scoutmaster_snapshot_files_total 1000`,
			`scoutmaster_resyncs_total 1`,
			`scoutmaster_heartbeats_missed_total 1`,
			`scoutmaster_http_requests_total{code="200",route="/files"} 2`,
			`scoutmaster_http_response_bytes_total{route="/files"} 20`,
			`scoutmaster_http_request_duration_seconds_count{route="/files"} 1`,
			`scoutmaster_http_requests_in_flight 1`,
		}},
		{"scout", busyScout().exposition, []string{
			`scout_registered 1`,
			`scout_registrations_total 1`,
			`scout_master_losses_total 0`,
			`scout_directory_available 1`,
			`scout_files 2`,
			`scout_directories_unreadable 1`,
			`scout_directories_polled 2`,
			`scout_changes_sent_total{change="removed"} 2`,
			`scout_change_sent_bytes_total 9`,
			`scout_change_sent_seconds_count 1`,
			`scout_snapshot_sent_bytes_sum 6`,
			`scout_resyncs_total 1`,
		}},
	} {
		text := exposed(t, tc.e)
		for _, line := range append(tc.want, "go_goroutines ", "process_start_time_seconds ") {
			if !strings.Contains(text, "\n"+line) {
				t.Errorf("%s: no line %q in\n%s", tc.name, line, text)
			}
		}
		problems, err := promlint.New(strings.NewReader(text)).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", tc.name, problems, err)
		}
	}
}

// A scout that has lost its scoutmaster is not registered.
func TestLost(t *testing.T) {
	s := busyScout()
	s.MasterLost()
	if text := exposed(t, s.exposition); !strings.Contains(text, "\nscout_registered 0") {
		t.Error("a scout without its scoutmaster is registered")
	}
}

// Counting a change or an answer allocates almost nothing.
func TestCostOfCounting(t *testing.T) {
	m, s := busyMaster(), busyScout()
	allocs, _ := alloctest.Cost(func() {
		m.Change(1, 1, time.Millisecond)
		m.HeartbeatMissed()
		s.ChangeSent(1, 1, 10, time.Millisecond)
	})
	if allocs > 0 {
		t.Errorf("counting a change allocates %.0f times", allocs)
	}
	allocs, _ = alloctest.Cost(func() { m.Answered(web.Answer{Route: "/files", Status: 200}) })
	if allocs > 4 {
		t.Errorf("counting an answer allocates %.0f times", allocs)
	}
}

func BenchmarkChange(b *testing.B) {
	m := busyMaster()
	b.ReportAllocs()
	for b.Loop() {
		m.Change(1, 0, time.Millisecond)
	}
}

const docs = "../../docs"

var named = regexp.MustCompile(`\b(scout|scoutmaster|go|process)_[a-z_]+`)

// The dashboard and the alert rules name only existing metrics.
func TestDocumentsNameWhatExists(t *testing.T) {
	there := exposed(t, busyMaster().exposition) + exposed(t, busyScout().exposition)
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(docs, file))
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s names no metric", file)
		}
		for _, name := range names {
			if !strings.Contains(there, "\n"+name+" ") && !strings.Contains(there, "\n"+name+"{") {
				t.Errorf("%s names %s, which nothing exposes", file, name)
			}
		}
	}
}

// Each metric of the programs is on the dashboard or in an alert rule.
func TestDashboardIsWhole(t *testing.T) {
	var shown strings.Builder
	for _, file := range []string{"grafana-dashboard.json", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join(docs, file))
		if err != nil {
			t.Fatal(err)
		}
		shown.Write(text)
	}
	kinds := regexp.MustCompile(`(?m)^# TYPE (scout(?:master)?_[a-z_]+) `)
	for _, e := range []exposition{busyMaster().exposition, busyScout().exposition} {
		for _, kind := range kinds.FindAllStringSubmatch(exposed(t, e), -1) {
			if !strings.Contains(shown.String(), kind[1]) {
				t.Errorf("nobody is shown %s", kind[1])
			}
		}
	}
}

// The panels of the dashboard are in rows, one below the other, and each shows
// values of one unit. Where a metric is one that other programs have too, only
// those of scoutmasters are asked for.
func TestDashboardIsADashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(docs, "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Title, UID string
		Templating struct{ List []map[string]any }
		Panels     []struct {
			ID          int
			Title       string
			Type        string
			GridPos     struct{ H, W, X, Y int }
			FieldConfig struct{ Defaults struct{ Unit string } }
			Targets     []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if dashboard.Title == "" || dashboard.UID == "" || len(dashboard.Panels) == 0 {
		t.Errorf("it lacks a title, a uid or panels")
	}
	for _, v := range dashboard.Templating.List {
		if v["allValue"] != nil {
			t.Errorf("All of the variable %s is %q; without it, it is what the query finds", v["name"], v["allValue"])
		}
	}
	seen, taken := map[int]bool{}, map[[2]int]string{}
	for i, p := range dashboard.Panels {
		if seen[p.ID] || p.Title == "" || p.Type == "" || p.GridPos.W == 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d, %q: its id is taken, or it lacks a title, a type or a place", p.ID, p.Title)
		}
		seen[p.ID] = true
		if i == 0 && p.Type != "row" {
			t.Errorf("panel %q is in no row", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				place := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[place] != "" {
					t.Fatalf("panel %q covers %q", p.Title, taken[place])
				}
				taken[place] = p.Title
			}
		}
		for _, target := range p.Targets {
			if units := unitsOf(target.Expr); !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
				t.Errorf("panel %q has the unit %s for %s, not one of %s", p.Title, p.FieldConfig.Defaults.Unit, target.Expr, units)
			}
			common := regexp.MustCompile(`\b(go|process|scoutmaster)_`).MatchString(target.Expr)
			if common && !strings.Contains(target.Expr, `job=~"$job"`) {
				t.Errorf("panel %q: %s is of programs that are no scoutmasters", p.Title, target.Expr)
			}
		}
	}
}

// unitsOf returns the units, as Grafana names them, that fit the value of an
// expression.
func unitsOf(expr string) []string {
	perSecond := strings.Contains(expr, "rate(") && !strings.Contains(expr, "histogram_quantile(")
	switch {
	case strings.Contains(expr, "cpu_seconds_total"):
		return []string{"short"} // cores
	case strings.Contains(expr, "_bytes") && perSecond:
		return []string{"Bps"}
	case strings.Contains(expr, "_bytes"):
		return []string{"bytes"}
	case strings.Contains(expr, "_seconds"):
		return []string{"s"}
	case perSecond:
		return []string{"cps", "reqps"}
	}
	return []string{"short"}
}

// Each alert has a line in the runbook, and each line of it an alert.
func TestRunbook(t *testing.T) {
	names := func(file, pattern string) (found []string) {
		text, err := os.ReadFile(filepath.Join(docs, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			found = append(found, m[1])
		}
		return found
	}
	alerts := names("alerts.yml", `(?m)^ +- alert: (\w+)$`)
	runbook := names("operations.md", "(?m)^\\| `([A-Z]\\w+)` \\| .+ \\| .+ \\|$")
	if len(alerts) == 0 || !slices.Equal(runbook, alerts) {
		t.Errorf("the runbook has %q, and the alerts are %q", runbook, alerts)
	}
}

// promtool checks the rules and runs their tests.
func TestAlerts(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: it comes with Prometheus")
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = docs
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
