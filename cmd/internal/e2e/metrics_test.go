//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
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
