//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	scoutv1 "scout/proto/scout/v1"
)

// What HTTP clients, load balancers and orchestrators rely on.
func TestHTTP(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	const list, text, problem = "application/json", "text/plain", "application/problem+json"
	for _, test := range []struct {
		method, path string
		status       int
		kind, body   string // body is exact, unless it is a problem's
	}{
		{"GET", "/files", 200, list, `{"files":[]}`},
		{"HEAD", "/files", 200, list, ""},
		{"GET", "/healthz", 200, text, "ok\n"},
		{"GET", "/readyz", 200, text, "ok\n"},
		{"HEAD", "/readyz", 200, text, ""},
		{"POST", "/files", 405, problem, "GET and HEAD"},
		{"DELETE", "/files", 405, problem, "GET and HEAD"},
		{"OPTIONS", "/files", 405, problem, "GET and HEAD"},
		{"BREW", "/files", 405, problem, "GET and HEAD"},
		{"PUT", "/healthz", 405, problem, "GET and HEAD"},
		{"POST", "/", 405, problem, "GET and HEAD"},
		{"HEAD", "/", 200, "text/html", ""},
		{"GET", "/files/", 404, problem, "/files"},
		{"GET", "/files/x", 404, problem, "/files"},
		{"GET", "/nothing", 404, problem, "/files"},
		{"HEAD", "/nothing", 404, problem, ""},
		{"GET", "/files?bogus=1", 400, problem, "bogus"},
		{"GET", "/files?prefix=%zz", 400, problem, "query"},
	} {
		request, err := http.NewRequest(test.method, "http://"+m.HTTP+test.path, nil)
		must(t, err)
		r, err := client.Do(request)
		must(t, err)
		body, err := io.ReadAll(r.Body)
		must(t, err)
		r.Body.Close()
		if kind := r.Header.Get("Content-Type"); r.StatusCode != test.status || !strings.HasPrefix(kind, test.kind) {
			t.Errorf("%s %s: %s, %s: %s", test.method, test.path, r.Status, kind, body)
		}
		if test.kind == problem && test.method != "HEAD" {
			checkProblem(t, test.status, test.body, body)
		} else if string(body) != test.body {
			t.Errorf("%s %s: %q", test.method, test.path, body)
		}
		if allow := r.Header.Get("Allow"); (test.status == 405) != (allow == "GET, HEAD") {
			t.Errorf("%s %s: Allow: %q", test.method, test.path, allow)
		}
	}
}

func checkProblem(t *testing.T, status int, words string, body []byte) {
	t.Helper()
	var problem struct {
		Title, Detail string
		Status        int
	}
	if err := json.Unmarshal(body, &problem); err != nil || problem.Status != status || problem.Title == "" || !strings.Contains(problem.Detail, words) {
		t.Errorf("the problem is %s, %v", body, err)
	}
}

// The master's own health is served over gRPC as everybody's is.
func TestGRPCHealth(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	conn, err := grpc.NewClient(m.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer conn.Close()
	for _, service := range []string{"", scoutv1.ScoutmasterService_ServiceDesc.ServiceName} {
		r, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, r, err)
		}
	}
}
