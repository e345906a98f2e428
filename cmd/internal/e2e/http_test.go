//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"scout/cmd/internal/testfleet"
	scoutv1 "scout/proto/scout/v1"
)

// HTTP clients, load balancers and orchestrators rely on these answers.
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
		{"OPTIONS", "/files", 204, "", ""},
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
		r, body, err := testfleet.Do(client, test.method, "http://"+m.HTTP+test.path, nil)
		must(t, err)
		if kind := r.Header.Get("Content-Type"); r.StatusCode != test.status || !strings.HasPrefix(kind, test.kind) {
			t.Errorf("%s %s: %s, %s: %s", test.method, test.path, r.Status, kind, body)
		}
		if test.kind == problem && test.method != "HEAD" {
			checkProblem(t, test.status, test.body, body)
		} else if string(body) != test.body {
			t.Errorf("%s %s: %q", test.method, test.path, body)
		}
		if allow := r.Header.Get("Allow"); (test.status == 405 || test.status == 204) != (allow == "GET, HEAD") {
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
	conn := dialGRPC(t, m)
	for _, service := range []string{"", scoutv1.ScoutmasterService_ServiceDesc.ServiceName} {
		r, err := healthpb.NewHealthClient(conn).Check(context.Background(), &healthpb.HealthCheckRequest{Service: service})
		if err != nil || r.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, r, err)
		}
	}
}

// A call that never sends its first message ends, whatever it calls and however long
// the deadline of scouts is.
func TestSilentCallsEnd(t *testing.T) {
	t.Parallel()
	m := startMaster(t, "-deadline", "1h")
	conn := dialGRPC(t, m)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	both := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
	var calls []grpc.ClientStream
	for _, method := range []string{
		healthpb.Health_Check_FullMethodName, healthpb.Health_Watch_FullMethodName, scoutv1.ScoutmasterService_Session_FullMethodName,
	} {
		call, err := conn.NewStream(ctx, both, method)
		must(t, err)
		calls = append(calls, call)
	}
	for i, call := range calls {
		err := call.RecvMsg(new(healthpb.HealthCheckResponse))
		if status.Code(err) != codes.DeadlineExceeded || ctx.Err() != nil {
			t.Errorf("call %d: %v", i, err)
		}
	}
}

// A tag, a cursor or an event id from before a restart of the master is never valid
// after it, not even for an equal list after equal changes. No request waits for a change
// that has already happened.
func TestTagsAndCursorsFromBefore(t *testing.T) {
	t.Parallel()
	ports := []string{"-grpc", freePort(t), "-http", freePort(t)}
	m, s := startPair(t, 10, ports...)
	names := find(t, s.dir)
	tags, cursors, ids := map[string]bool{}, []string{}, []string{}
	for range 4 {
		for _, id := range ids {
			if event, _, err := m.firstEvent(id); err != nil || event != "reset" {
				t.Errorf("with an event's id from before: %s, %v", event, err)
			}
		}
		for tag := range tags {
			began := time.Now()
			if status, _, err := m.ask("/files?wait=40s", tag); err != nil || status != http.StatusOK || time.Since(began) > patience {
				t.Errorf("waiting with a tag from before: %d after %s, %v", status, time.Since(began), err)
			}
			if status, _, err := m.ask("/files", tag); err != nil || status != http.StatusOK {
				t.Errorf("with a tag from before: %d, %v", status, err)
			}
		}
		for _, cursor := range cursors {
			if status, problem, err := m.ask("/files?limit=3&after="+url.QueryEscape(cursor), ""); err != nil || status != http.StatusGone {
				t.Errorf("with a cursor from before: %d, %s, %v", status, problem, err)
			}
		}
		tag, cursor, err := m.keepsakes()
		must(t, err)
		if status, _, err := m.ask("/files", tag); err != nil || status != http.StatusNotModified {
			t.Errorf("with the tag of now: %d, %v", status, err)
		}
		if status, _, err := m.ask("/files?limit=3&after="+url.QueryEscape(cursor), ""); err != nil || status != http.StatusOK {
			t.Errorf("with a cursor of now: %d, %v", status, err)
		}
		_, id, err := m.firstEvent("")
		must(t, err)
		ids = append(ids, id)
		if tags[tag] {
			t.Errorf("the tag %s was given before the restart", tag)
		}
		tags[tag] = true
		cursors = append(cursors, cursor)

		kill(t, m.Process)
		m = startMaster(t, ports...)
		awaitList(t, m, "h", s.dir, names...)
	}
	// The tag of an empty list differs from that of another empty list.
	kill(t, m.Process)
	kill(t, s.Process)
	empty := ""
	for range 3 {
		m = startMaster(t, ports...)
		status, tag, err := m.ask("/files", empty)
		if err != nil || status != http.StatusOK || tag == empty {
			t.Errorf("an empty list after a restart: %d, tag %s after %s, %v", status, tag, empty, err)
		}
		empty = tag
		kill(t, m.Process)
	}
}

// ask requests a path with the tag of an earlier answer, and returns the status and the
// tag of the answer.
func (m *master) ask(path, tag string) (status int, now string, err error) {
	answer, _, err := testfleet.Do(client, http.MethodGet, "http://"+m.HTTP+path, ifNoneMatch(tag))
	if err != nil {
		return 0, "", err
	}
	return answer.StatusCode, answer.Header.Get("ETag"), nil
}

// ifNoneMatch is the header of a request with a tag, or without one.
func ifNoneMatch(tag string) http.Header {
	if tag == "" {
		return nil
	}
	return http.Header{"If-None-Match": {tag}}
}

// keepsakes are the parts of an answer that a consumer keeps: its tag and its cursor.
func (m *master) keepsakes() (tag, cursor string, err error) {
	body, err := m.Get("/files?limit=3")
	if err != nil {
		return "", "", err
	}
	var page struct{ Next string }
	if err := json.Unmarshal(body, &page); err != nil {
		return "", "", fmt.Errorf("%w: %s", err, body)
	}
	_, tag, err = m.ask("/files", "")
	if err == nil && (page.Next == "" || !strings.HasPrefix(tag, `W/"`)) {
		err = errors.New("no cursor, or no weak tag")
	}
	return tag, page.Next, err
}

// firstEvent watches the list from an event's id on, or from now on, and returns
// what comes first, and its id.
func (m *master) firstEvent(from string) (event, id string, err error) {
	path := "/files?format=ndjson&watch=true"
	if from != "" {
		path += "&last_event_id=" + url.QueryEscape(from)
	}
	answer, err := client.Get("http://" + m.HTTP + path)
	if err != nil {
		return "", "", err
	}
	defer answer.Body.Close()
	var first struct{ Event, ID string }
	if err := json.NewDecoder(answer.Body).Decode(&first); err != nil || first.ID == "" {
		return "", "", fmt.Errorf("%s: %+v: %w", answer.Status, first, err)
	}
	return first.Event, first.ID, nil
}

// Every answer, to valid and invalid requests, conforms to the OpenAPI description of
// the master.
func TestAnswersConform(t *testing.T) {
	t.Parallel()
	m, dir := startMaster(t), dirOf(t, "app.log", "logs/2026/app.log", "bad\xff", "new\nline")
	s := startScout(t, m, "web-01", dir)
	converges(t, m, s)
	gone := startScout(t, m, "gone", tempDir(t))
	kill(t, gone.Process)
	await(t, m.Process, "scout dropped")
	refused := launchScout(t, scoutCommand(m.GRPC, "web-01", dir), "web-01", dir)
	if _, err := refused.AwaitExit(patience); err != nil {
		t.Fatal(err)
	}
	router := described(t, m)
	for _, tc := range []struct {
		method, target string
		header         http.Header
		status         int
	}{
		{"GET", "/files", nil, 200},
		{"GET", "/files?host=web-01&host=x&directory=" + dir + "&prefix=logs/&match=**/*.log", nil, 200},
		{"GET", "/files?prefix=bad%FF", nil, 200},
		{"GET", "/files?limit=1", nil, 200},
		{"GET", "/files?limit=1&offset=1&count=true&match=**/*.LOG&ignore_case=true", nil, 200},
		{"GET", "/files.txt?from=b&count=true", nil, 200},
		{"GET", "/files.ndjson", nil, 200},
		{"GET", "/files.txt", nil, 200},
		{"GET", "/files.nul", nil, 200},
		{"GET", "/files?fresh=5s", nil, 200},
		{"GET", "/files?fresh=5s&limit=1", nil, 200},
		{"GET", "/files?host=nobody", nil, 200},
		{"GET", "/files?wait=10ms", http.Header{"If-None-Match": {"*"}}, 304},
		{"GET", "/files?colour=red", nil, 400},
		{"GET", "/files?limit=0", nil, 400},
		{"GET", "/files?after=x", nil, 400},
		{"GET", "/files", http.Header{"Accept": {"image/png"}}, 406},
		{"POST", "/files", nil, 405},
		{"GET", "/scouts", nil, 200},
		{"GET", "/scouts?x=y", nil, 400},
		{"PUT", "/scouts", nil, 405},
		{"GET", "/healthz", nil, 200},
		{"GET", "/readyz", nil, 200},
		{"GET", "/metrics", nil, 200},
		{"GET", "/openapi.json", nil, 200},
		{"DELETE", "/openapi.json", nil, 405},
	} {
		if err := conforms(router, m, tc.method, tc.target, tc.header, tc.status); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.target, err)
		}
	}
}

// described returns the operations that a master says it has.
func described(t *testing.T, m *master) routers.Router {
	t.Helper()
	for _, kind := range []string{"application/x-ndjson", "text/event-stream"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder) // as it is
	}
	text, err := m.Get("/openapi.json")
	must(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(text)
	must(t, err)
	must(t, doc.Validate(t.Context()))
	if len(doc.Servers) != 1 || doc.Servers[0].URL != "." {
		t.Errorf("the servers are %v, not the one at the address of the description", doc.Servers)
	}
	doc.Servers[0].URL = "/" // as a client resolves it
	router, err := legacy.NewRouter(doc)
	must(t, err)
	return router
}

// conforms asks, and holds the answer against the description of its GET.
func conforms(router routers.Router, m *master, method, target string, header http.Header, status int) error {
	answer, body, err := testfleet.Do(client, method, "http://"+m.HTTP+target, header)
	if err != nil {
		return err
	}
	if answer.StatusCode != status {
		return errors.New(answer.Status + ": " + string(body))
	}
	asked := answer.Request.Clone(context.Background())
	asked.Method = http.MethodGet
	asked.URL.Host, asked.URL.Scheme = "", ""
	route, params, err := router.FindRoute(asked)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateResponse(asked.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route},
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}

// cutOff asks for the list in a version of HTTP, ends the master in the middle of
// the answer, and returns how the client's library sees that.
func cutOff(t *testing.T, m *master, address, version string) error {
	t.Helper()
	conn := sendRequest(t, address, version)
	must(t, conn.SetReadBuffer(64<<10))
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	must(t, err)
	_, err = io.CopyN(io.Discard, r.Body, 1<<20)
	must(t, err)
	kill(t, m.Process)
	must(t, conn.SetReadDeadline(time.Now().Add(patience)))
	n, err := io.Copy(io.Discard, r.Body)
	t.Logf("%s: a length of %d, %v after %d bytes", version, r.ContentLength, err, n+1<<20)
	return err
}

// An answer that the end of the master cuts off is not taken for a whole one, in any
// version of HTTP and through a proxy, which may speak another one to the master.
func TestCutOffAnswerIsNotWhole(t *testing.T) {
	t.Parallel()
	large := func(t *testing.T) *master {
		m := startMaster(t, "-deadline", "1m")
		bulk := dialRaw(t, m)
		bulk.register("bulk", "/")
		bulk.show(bulkyNames(0, 20_000)...) // 20 MB
		await(t, m.Process, "files synced")
		return m
	}
	for _, version := range []string{"HTTP/1.0", "HTTP/1.1"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			m := large(t)
			if err := cutOff(t, m, m.HTTP, version); err == nil {
				t.Error("the answer looks whole")
			}
		})
		t.Run("nginx and "+version, func(t *testing.T) {
			t.Parallel()
			m := large(t)
			proxy := startNginx(t, fmt.Sprintf("proxy_max_temp_file_size 0; proxy_http_version %s; location / { proxy_pass http://%s; }",
				strings.TrimPrefix(version, "HTTP/"), m.HTTP))
			if err := cutOff(t, m, proxy, "HTTP/1.1"); err == nil {
				t.Error("the answer looks whole")
			}
		})
	}
}

// startNginx starts an nginx with the directives of a server, until the test ends,
// and returns its address.
func startNginx(t *testing.T, server string) string {
	t.Helper()
	if _, err := exec.LookPath("nginx"); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	address := "127.0.0.1:" + freePort(t)
	p, err := testfleet.StartNginx(tempDir(t), "master_process off;", "server { listen "+address+"; "+server+" }", address)
	must(t, err)
	stopAtEnd(t, p)
	return address
}
