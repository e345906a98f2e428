package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAdmission(t *testing.T) {
	admission := Admission{
		Capacity: func(remote string) error {
			if remote == "crowded" {
				return errors.New("too many of you")
			}
			return nil
		},
		Check: func(r *http.Request) error {
			if r.Header.Get("Authorization") == "Bearer good" {
				return nil
			}
			return errors.New("no token was shown")
		},
	}
	h := admission.Admit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("served")) }))
	for _, tc := range []struct {
		name, path, remote, authorization string
		status                            int
		says, challenge                   string
	}{
		{"with a token", "/files", "", "Bearer good", 200, "served", ""},
		{"without", "/files", "", "", 401, "-http-token-file", `Bearer realm="scoutmaster"`},
		{"with a bad one", "/files", "", "Bearer bad", 401, "-http-token-file", `Bearer realm="scoutmaster", error="invalid_token"`},
		{"nothing there", "/nothing", "", "", 401, "-http-token-file", `Bearer realm="scoutmaster"`},
		{"health", "/healthz", "", "", 200, "served", ""},
		{"readiness", "/readyz", "", "", 200, "served", ""},
		{"not quite health", "/healthz/../files", "", "", 401, "", `Bearer realm="scoutmaster"`},
		{"long query", "/files?prefix=" + strings.Repeat("a", maxQuery-6), "", "Bearer good", 414, "ask in parts", ""},
		{"just short enough", "/files?prefix=" + strings.Repeat("a", maxQuery-7), "", "Bearer good", 200, "served", ""},
		{"crowd", "/healthz", "crowded", "Bearer good", 429, "too many of you", ""},
	} {
		r := httptest.NewRequest(http.MethodGet, tc.path, nil)
		r.RemoteAddr = tc.remote
		if tc.authorization != "" {
			r.Header.Set("Authorization", tc.authorization)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.says) || w.Header().Get("WWW-Authenticate") != tc.challenge {
			t.Errorf("%s: %d, %s, %v", tc.name, w.Code, w.Body, w.Header())
		}
		if tc.status == 200 {
			continue
		}
		var said struct{ Status int }
		if err := json.Unmarshal(w.Body.Bytes(), &said); err != nil || said.Status != tc.status || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %s, %v", tc.name, w.Body, w.Header())
		}
	}
}
