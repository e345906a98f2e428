package debughttp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

var healthy = Health{Alive: func() error { return nil }, Ready: func() error { return nil }}

func TestProfiles(t *testing.T) {
	h := Profiles()
	for path, want := range map[string]string{
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "debughttp.TestProfiles",
		"/debug/pprof/cmdline":           "debughttp",
		"/debug/pprof/symbol":            "num_symbols",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, without %q: %.200s", path, w.Code, want, w.Body)
		}
	}
}

// A server accepts connections from Listen until Run's context is done.
func TestServer(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") })
	d, err := Listen(t.Context(), "metrics", "127.0.0.1:0", Metrics(h, healthy), Protection{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	url := "http://" + d.listener.Addr().String() + "/metrics"
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, err := io.ReadAll(r.Body); err != nil || string(body) != "counted" {
		t.Errorf("%s: %q, %v", url, body, err)
	}
	if _, err := Listen(t.Context(), "metrics", d.listener.Addr().String(), h, Protection{}, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "flag -metrics") {
		t.Errorf("a taken address: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// A listener on loopback rejects a name that a web page has made resolve to it.
func TestUnknownHost(t *testing.T) {
	h := localOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") }))
	for host, want := range map[string]int{"localhost:9101": 200, "127.0.0.1:9101": 200, "rebind.example:9101": 403} {
		r, w := httptest.NewRequest("GET", "/metrics", nil), httptest.NewRecorder()
		r.Host = host
		h.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d", host, w.Code)
		}
	}
}

// Idle connections do not take more descriptors than the bound, and keep nobody
// out.
func TestConnectionsAreBounded(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") })
	s, err := Listen(t.Context(), "metrics", "127.0.0.1:0", Metrics(h, healthy), Protection{}, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", s.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const idle = 3 * maxConnections
	crowd := make([]net.Conn, idle)
	for i := range crowd {
		crowd[i] = dial()
	}
	r, err := http.Get("http://" + s.listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	for _, c := range crowd[:idle-maxConnections] { // they were closed, or this waits
		c.SetReadDeadline(time.Now().Add(headerTime / 2))
		if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("a connection beyond the bound is open")
		}
	}
	if _, err := io.WriteString(crowd[idle-1], "GET /metrics HTTP/1.0\r\n\r\n"); err != nil {
		t.Error("the last connection:", err)
	}
	if answer, err := io.ReadAll(crowd[idle-1]); err != nil || !strings.HasSuffix(string(answer), "counted") {
		t.Errorf("the last connection: %q, %v", answer, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNoAddress(t *testing.T) {
	d, err := Listen(t.Context(), "pprof", "", nil, Protection{}, zap.NewNop())
	if d != nil || err != nil || d.Run(t.Context()) != nil {
		t.Errorf("%v, %v", d, err)
	}
}

// A client that sends only a part of its request, or nothing, does not keep its
// connection.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Server{server: newServer(Metrics(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") }), healthy), zap.NewNop())}
		l := pipeListener{make(chan net.Conn)}
		s.listener = l
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for request, limit := range map[string]time.Duration{
			"":                                 headerTime,
			"GET /metrics HTTP/1.1\r\nHost: a": headerTime,
			"GET /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n": readTime,
			"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n":                       idleTime,
		} {
			client, server := net.Pipe()
			l.conns <- server
			began := time.Now()
			go io.WriteString(client, request)
			io.Copy(io.Discard, client) // until the server closes the connection
			if took := time.Since(began); took > limit {
				t.Errorf("%q: closed after %s, not %s", request, took, limit)
			}
			client.Close()
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// pipeListener accepts what is sent to it.
type pipeListener struct{ conns chan net.Conn }

func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l pipeListener) Close() error { close(l.conns); return nil }
func (pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
