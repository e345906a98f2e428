package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/hostport"
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

// A listener that trusts this machine rejects the names of strangers, for health
// checks too.
func TestUnknownHost(t *testing.T) {
	admission := Admission{
		Host:     hostport.LocalNames("proxy.example").Contain,
		Capacity: func(string) error { return nil },
		Check:    func(*http.Request) error { return nil },
	}
	h := admission.Admit(newTestHandler(sample()))
	for host, want := range map[string]int{
		"localhost:3001": 200, "127.0.0.1": 200, "[::1]:3001": 200, "Proxy.Example": 200, "": 200,
		"rebind.example:3001": 403, "127.0.0.1.example": 403, "192.0.2.1": 403,
	} {
		for _, path := range []string{"/files", "/healthz", "/"} {
			r, w := httptest.NewRequest(http.MethodGet, path, nil), httptest.NewRecorder()
			r.Host = host
			h.ServeHTTP(w, r)
			if w.Code != want || want == 403 && !strings.Contains(w.Body.String(), `"/problems/unknown-host"`) {
				t.Errorf("%q, %s: %d %s", host, path, w.Code, w.Body)
			}
		}
	}
}

// A request is answered although the body that it announces never comes, and its
// connection ends. A connection without such a request stays open.
func TestBodyThatNeverComes(t *testing.T) {
	admission := Admission{Capacity: func(string) error { return nil }, Check: func(*http.Request) error { return nil }}
	site := httptest.NewServer(admission.Admit(newTestHandler(sample())))
	defer site.Close()
	for header, ends := range map[string]bool{
		"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n":                       true,
		"GET /files HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n":                 true,
		"POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n":                        true,
		"GET /none HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n":  true,
		"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.0\r\nHost: again\r\n\r\n": false,
	} {
		conn, err := net.Dial("tcp", site.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(time.Minute))
		if _, err := io.WriteString(conn, header); err != nil {
			t.Fatal(err)
		}
		answers, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("%q: %v", header, err)
		}
		if n := bytes.Count(answers, []byte("HTTP/1.")); ends != (n == 1) {
			t.Errorf("%q: %d answers: %s", header, n, answers)
		}
		conn.Close()
	}
}

// A client that accepts nothing of an answer does not keep its connection.
func TestEveryAnswerHasADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		admission := Admission{Capacity: func(string) error { return nil }, Check: func(*http.Request) error { return nil }}
		client, server := net.Pipe()
		conns := make(chan net.Conn, 1)
		conns <- server
		site := &http.Server{Handler: admission.Admit(newTestHandler(sample()))}
		ended := make(chan error, 1)
		go func() { ended <- site.Serve(pipeListener{conns}) }()
		io.WriteString(client, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
		time.Sleep(answerTimeout + time.Second) // the pipe holds nothing of the answer
		if _, err := client.Read(make([]byte, 1)); err == nil {
			t.Errorf("an answer can be read that was not for %s", answerTimeout)
		}
		site.Close()
		<-ended
		client.Close()
	})
}

// pipeListener accepts the connections that are sent to it.
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
