//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"

	"scout/cmd/internal/testfleet"
	scoutv1 "scout/proto/scout/v1"
)

// Both programs count what they do, and show profiles where they are asked to.
func TestMetrics(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-pprof", "0")
	dir := tempDir(t)
	s := startScout(t, m, "web-01", dir, "-metrics", "0")
	awaitSeries(t, "http://"+m.HTTP+"/metrics", `scoutmaster_scouts{state="live"} 1`)
	write(t, dir, "new")
	awaitSeries(t, "http://"+m.HTTP+"/metrics",
		`scoutmaster_files 1`, `scoutmaster_changes_total{change="added"} 1`,
		`scoutmaster_change_visible_seconds_count 1`, `scoutmaster_snapshot_seconds_count 1`)
	awaitSeries(t, "http://"+listening(t, s.Process, "metrics")+"/metrics",
		`scout_registered 1`, `scout_files 1`, `scout_changes_sent_total{change="added"} 1`)
	awaitSeries(t, "http://"+listening(t, m.Process, "pprof")+"/debug/pprof/goroutine?debug=1", "goroutine profile:")

	kill(t, s.Process)
	awaitSeries(t, "http://"+m.HTTP+"/metrics",
		`scoutmaster_scouts{state="live"} 0`, `scoutmaster_files 0`, `scoutmaster_scouts_dropped_total{reason="stream broken"} 1`)
}

// Profiles and metrics are served only if a flag says so.
func TestNoSideDoors(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	for _, path := range []string{"/debug/pprof/", "/debug/vars"} {
		r, _, err := testfleet.Do(client, http.MethodGet, "http://"+m.HTTP+path, nil)
		must(t, err)
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if got := services(t, m); got != nil {
		t.Errorf("reflection tells of %q unasked", got)
	}
}

func TestReflection(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-reflection")
	if got := fmt.Sprint(services(t, m)); !strings.Contains(got, scoutv1.ScoutmasterService_ServiceDesc.ServiceName) {
		t.Errorf("reflection tells of %s", got)
	}
}

// awaitSeries waits until a page has a line that begins with each of the lines.
func awaitSeries(t *testing.T, url string, lines ...string) {
	t.Helper()
	var page string
	for began := time.Now(); time.Since(began) < patience; time.Sleep(10 * time.Millisecond) {
		body, err := testfleet.Get(client, url)
		must(t, err)
		if page = "\n" + string(body); hasAll(page, lines) {
			return
		}
	}
	t.Errorf("%s lacks one of %q:\n%s", url, lines, page)
}

func hasAll(page string, lines []string) bool {
	for _, line := range lines {
		if !strings.Contains(page, "\n"+line) {
			return false
		}
	}
	return true
}

// listening returns the address that a program gave to a flag of port 0.
func listening(t *testing.T, p *testfleet.Process, flag string) string {
	t.Helper()
	e, err := p.Await(patience, 0, func(e testfleet.Event) bool { return e.Msg() == "listening" && e.Text("for") == flag })
	if err != nil {
		t.Fatalf("nothing listens for -%s: %v: %s", flag, err, p.Tail())
	}
	return e.Text("address")
}

// services are those of which a scoutmaster tells by reflection; nil: it does
// not.
func services(t *testing.T, m *master) (names []string) {
	t.Helper()
	conn := dialGRPC(t, m)
	stream, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	must(t, err)
	err = stream.Send(&reflectionpb.ServerReflectionRequest{
		MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{ListServices: "*"},
	})
	if !errors.Is(err, io.EOF) { // a call that has ended already says why to Recv
		must(t, err)
	}
	answer, err := stream.Recv()
	if err != nil {
		return nil
	}
	for _, s := range answer.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	return names
}

// Prometheus, configured as docs/operations.md says, has an answer to every query of
// the dashboard, and an alert fires when a host dies.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	m, dir := startMaster(t), tempDir(t)
	write(t, dir, "one")
	s := startScout(t, m, "web-01", dir, "-metrics", "0")
	p := startPrometheus(t, m.HTTP, listening(t, s.Process, "metrics"))
	var jobs []string
	p.ask("label/job/values?match[]=scoutmaster_build_info", &jobs)
	if !slices.Equal(jobs, []string{"scoutmaster"}) {
		t.Errorf("the variable of the dashboard has the values %q", jobs)
	}

	text, err := os.ReadFile(filepath.Join(root, "docs/grafana-dashboard.json"))
	must(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	must(t, json.Unmarshal(text, &dashboard))
	variables := strings.NewReplacer("$job", "scoutmaster", "$__rate_interval", "30s")
	asked := 0
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			if expr := variables.Replace(target.Expr); len(p.query(expr)) == 0 {
				t.Errorf("%s: nothing is %s", panel.Title, expr)
			}
			asked++
		}
	}
	if asked < 40 {
		t.Errorf("the dashboard has %d queries", asked)
	}

	if firing := p.query(`ALERTS{alertstate="firing"}`); len(firing) > 0 {
		t.Errorf("alerts fire for a sound fleet: %v", firing)
	}
	kill(t, s.Process)
	within(t, patience, func() error {
		if len(p.query(`ALERTS{alertstate="firing",alertname="ScoutsGone"}`)) == 0 {
			return errors.New("no alert fires for a scout that has died")
		}
		return nil
	})
}

// prometheus is a Prometheus that scrapes a scoutmaster and a scout.
type prometheus struct {
	t   *testing.T
	url string
}

// startPrometheus starts one with the configuration and the rules in docs, faster than
// they are, and waits until it knows rates.
func startPrometheus(t *testing.T, master, scout string) *prometheus {
	t.Helper()
	dir, address := tempDir(t), "127.0.0.1:"+freePort(t)
	guide, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	must(t, err)
	documented := regexp.MustCompile("(?s)```yaml\n(rule_files: .*?)```").FindSubmatch(guide)
	if len(documented) < 2 || !strings.Contains(string(documented[1]), "localhost:3001") {
		t.Fatal("docs/operations.md does not configure Prometheus")
	}
	config := "global: {scrape_interval: 500ms, evaluation_interval: 500ms}\n" +
		strings.ReplaceAll(string(documented[1]), "localhost:3001", master) +
		fmt.Sprintf("  - {job_name: scout, static_configs: [{targets: ['%s']}]}\n", scout)
	must(t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(config), 0o600))
	rules, err := os.ReadFile(filepath.Join(root, "docs/alerts.yml"))
	must(t, err)
	rules = regexp.MustCompile(`for: \d+m`).ReplaceAll(rules, []byte("for: 1s"))
	must(t, os.WriteFile(filepath.Join(dir, "alerts.yml"), rules, 0o600))
	launch(t, command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--log.level=error"))
	p := &prometheus{t, "http://" + address + "/api/v1/"}
	within(t, patience, func() error {
		r, _, err := testfleet.Do(client, http.MethodGet, "http://"+address+"/-/ready", nil)
		if err == nil && r.StatusCode != http.StatusOK {
			err = errors.New(r.Status)
		}
		return err
	})
	within(t, patience, func() error {
		if n := len(p.query("count_over_time(up[1m]) > 4")); n != 2 {
			return fmt.Errorf("%d programs have been scraped often enough", n)
		}
		return nil
	})
	return p
}

// query returns the samples that an expression has now.
func (p *prometheus) query(expr string) []any {
	p.t.Helper()
	var found struct{ Result []any }
	p.ask("query?query="+url.QueryEscape(expr), &found)
	return found.Result
}

// ask reads the data of an answer.
func (p *prometheus) ask(path string, data any) {
	p.t.Helper()
	r, body, err := testfleet.Do(client, http.MethodGet, p.url+path, nil)
	must(p.t, err)
	if r.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %s: %s", path, r.Status, body)
	}
	answer := struct{ Data any }{data}
	must(p.t, json.Unmarshal(body, &answer))
}
