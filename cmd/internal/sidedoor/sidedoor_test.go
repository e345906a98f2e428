package sidedoor

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestProfiles(t *testing.T) {
	h := Profiles()
	for path, want := range map[string]string{
		"/debug/pprof/":                  "goroutine",
		"/debug/pprof/goroutine?debug=1": "sidedoor.TestProfiles",
		"/debug/pprof/cmdline":           "sidedoor",
		"/debug/pprof/symbol":            "num_symbols",
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d, without %q: %.200s", path, w.Code, want, w.Body)
		}
	}
}

// A door is open from Open to the end of Run's context.
func TestDoor(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "counted") })
	d, err := Open(t.Context(), "metrics", "127.0.0.1:0", Metrics(h), zap.NewNop())
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
	if _, err := Open(t.Context(), "metrics", d.listener.Addr().String(), h, zap.NewNop()); err == nil || !strings.Contains(err.Error(), "flag -metrics") {
		t.Errorf("a taken address: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestNoDoor(t *testing.T) {
	d, err := Open(t.Context(), "pprof", "", nil, zap.NewNop())
	if d != nil || err != nil || d.Run(t.Context()) != nil {
		t.Errorf("%v, %v", d, err)
	}
}
