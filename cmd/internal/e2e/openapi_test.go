//go:build linux

package e2e

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Every answer, to good questions and bad ones, is as the description that the
// master gives of itself says.
func TestAnswersConform(t *testing.T) {
	t.Parallel()
	m, dir := startMaster(t), tempDir(t)
	for _, name := range []string{"app.log", "logs/2026/app.log", "bad\xff", "new\nline"} {
		write(t, dir, name)
	}
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
		{"GET", "/files?format=ndjson", nil, 200},
		{"GET", "/files?format=text", nil, 200},
		{"GET", "/files?format=nul", nil, 200},
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
	router, err := legacy.NewRouter(doc)
	must(t, err)
	return router
}

// conforms asks, and holds the answer against the description of its GET.
func conforms(router routers.Router, m *master, method, target string, header http.Header, status int) error {
	r, err := http.NewRequest(method, "http://"+m.HTTP+target, http.NoBody)
	if err != nil {
		return err
	}
	maps.Copy(r.Header, header)
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return err
	}
	if answer.StatusCode != status {
		return errors.New(answer.Status + ": " + string(body))
	}
	asked := r.Clone(r.Context())
	asked.Method = http.MethodGet
	asked.URL.Host, asked.URL.Scheme = "", ""
	route, params, err := router.FindRoute(asked)
	if err != nil {
		return err
	}
	return openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route},
		Status:                 answer.StatusCode,
		Header:                 answer.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
}
