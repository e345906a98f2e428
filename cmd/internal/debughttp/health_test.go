package debughttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"

	"scout/internal/access"
	"scout/internal/access/accesstest"
)

// A probe gets the answer of the program that serves with the same flags, also over
// TLS and without a token, which metrics need.
func TestProbe(t *testing.T) {
	tokens := t.TempDir() + "/tokens"
	accesstest.Replace(t, tokens, []byte("prometheus:0123456789abcdef\n"))
	pair := accesstest.NewAuthority(t, "authority").Issue("scout.example")
	counted := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") })
	for name, files := range map[string]access.Files{
		"plaintext": {}, "TLS": {Cert: pair.Cert, Key: pair.Key}, "tokens": {HTTPTokens: tokens}, "both": {Cert: pair.Cert, Key: pair.Key, HTTPTokens: tokens},
	} {
		t.Run(name, func(t *testing.T) {
			gate, err := access.NewGate(files, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			var state error
			health := Health{Alive: healthy.Alive, Ready: func() error { return state }}
			protection := Protection{TLS: gate.ConsumerTLS(), Tokens: files.HTTPTokens != "", Check: gate.Consumer}
			s, err := Listen(t.Context(), "metrics", "127.0.0.1:0", Metrics(counted, health), protection, zap.NewNop())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			address := s.listener.Addr().String()
			if err := Probe(t.Context(), "metrics", address, files.Cert != ""); err != nil {
				t.Error(err)
			}
			state = errors.New("the disk is gone")
			if err := Probe(t.Context(), "metrics", address, files.Cert != ""); err == nil || err.Error() != "not ready: 503 Service Unavailable: the disk is gone" {
				t.Error("of a program that is not ready:", err)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := Probe(t.Context(), "metrics", address, files.Cert != ""); err == nil {
				t.Error("a program that has ended is ready")
			}
			for header, want := range map[string]int{"": 401, "Bearer wrong-wrong-wrong": 401, "Bearer 0123456789abcdef": 200} {
				if files.HTTPTokens == "" {
					want = http.StatusOK
				}
				w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/metrics", nil)
				r.Header.Set("Authorization", header)
				protection.admit(counted).ServeHTTP(w, r)
				if w.Code != want {
					t.Errorf("/metrics with %q: %d", header, w.Code)
				}
			}
		})
	}
}

// A probe says what is wrong with the address, and what a scoutmaster says.
func TestProbeErrors(t *testing.T) {
	problem := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"type":"/problems/not-ready","detail":"the scoutmaster is stopping"}`)
	}))
	defer problem.Close()
	for address, want := range map[string]string{
		"":            "flag -http is missing",
		"127.0.0.1:0": "give one",
		strings.Replace(problem.Listener.Addr().String(), "127.0.0.1", "0.0.0.0", 1): "not ready: the scoutmaster is stopping",
	} {
		if err := Probe(t.Context(), "http", address, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, without %q", address, err, want)
		}
	}
}
