package client_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"scout/client"
)

// closed returns the URL of a port that nothing listens on.
func closed() string {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	return server.URL
}

// Before the first connection an error ends a Watch, whatever it is: a closed port,
// a certificate that is not trusted, the page of a proxy.
func TestWatchFailsFast(t *testing.T) {
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Write([]byte("<h1>Log in</h1>"))
	}))
	defer proxy.Close()
	for address, want := range map[string]string{
		closed():   "refused",
		secure.URL: "certificate",
		proxy.URL:  "not an answer of a scoutmaster",
	} {
		c, err := client.New(address, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, err := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
			if n++; err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d elements, want 1", want, n)
		}
	}
}

// A patient Watch reports errors to its hook, and goes on until there is a
// scoutmaster.
func TestPatientWatch(t *testing.T) {
	m, _ := open(t)
	ready := false
	gate := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ready {
			m.handler.Load().(http.Handler).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer gate.Close()
	c, err := client.New(gate.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	failures := 0
	o := client.WatchOptions{Patient: true, OnError: func(error) { failures++; ready = failures == 2 }}
	for change, err := range c.Watch(t.Context(), client.Query{}, o) {
		if err != nil || !change.Reset {
			t.Errorf("%v, %v", change, err)
		}
		break
	}
	if failures != 2 {
		t.Errorf("%d errors were reported, want 2", failures)
	}
}

// A Watch with a saved id begins behind it.
func TestWatchFromASavedID(t *testing.T) {
	m, c := open(t)
	saved := ""
	for change := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{}) {
		saved = change.ID
		break
	}
	defer m.list.Watch()()
	m.change(t, added("new"))
	for change, err := range c.Watch(t.Context(), client.Query{}, client.WatchOptions{From: saved}) {
		if err != nil || change.Reset || len(change.Added) != 1 || change.Added[0].Name != "new" {
			t.Errorf("%v, %v", change, err)
		}
		break
	}
}

// The next scoutmaster is asked when one does not answer, and asked first from then
// on.
func TestSeveralAddresses(t *testing.T) {
	m, _ := open(t)
	c, err := client.New(closed()+", "+m.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, _, err := c.Fresh(t.Context(), client.Query{}, time.Second); err != nil {
			t.Error(err)
		}
	}
}

func TestPages(t *testing.T) {
	_, c := open(t)
	var names []string
	for cursor := ""; ; {
		p, err := c.Page(t.Context(), client.Query{}, 3, cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range p.Files {
			names = append(names, f.Name)
		}
		if cursor = p.Next; cursor == "" {
			break
		}
	}
	if want := []string{"app.log", "bad\xff", "etc/hosts", "logs/2026/app.log"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

func TestWait(t *testing.T) {
	m, c := open(t)
	tag, _, err := c.Wait(t.Context(), client.Query{}, "", 0)
	if err != nil || tag == "" {
		t.Fatalf("%q, %v", tag, err)
	}
	if now, changed, err := c.Wait(t.Context(), client.Query{}, tag, time.Millisecond); now == "" || changed || err != nil {
		t.Errorf("nothing has changed: %q, %t, %v", now, changed, err)
	}
	var changing sync.WaitGroup
	defer changing.Wait()
	changing.Go(func() {
		if _, err := m.list.Change(m.app, added("new")); err != nil {
			t.Error(err)
		}
	})
	if now, changed, err := c.Wait(t.Context(), client.Query{}, tag, time.Minute); now == tag || !changed || err != nil {
		t.Errorf("a file came: %q, %t, %v", now, changed, err)
	}
}

func TestScouts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte(`{"epoch":"1","files":7,"states":{"degraded":1,"gone":2},"scouts":[{"host":"h","directory":"/\ufffd","directory_base64":"L/8=",
			"state":"degraded","reason":"slow","files":7,"poll_seconds":2.5,"heard":"2026-01-02T03:04:05.678Z"}],"left":[],"refused":[]}`))
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Scouts(t.Context())
	if err != nil || r.Files != 7 || r.States["gone"] != 2 || len(r.Scouts) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	if s := r.Scouts[0]; s.Directory != "/\xff" || s.State != client.Degraded || s.Poll != 2500*time.Millisecond || s.Heard.Year() != 2026 {
		t.Errorf("%+v", s)
	}
}

// What the client writes of the scouts is what the scoutmaster has written.
func TestRosterIsThatOfTheScoutmaster(t *testing.T) {
	for _, name := range []string{"scouts.json", "scouts-fleet.json"} {
		golden, err := os.ReadFile(filepath.Join("../internal/web/testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(golden)
		}))
		defer server.Close()
		c, err := client.New(server.URL, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := c.Scouts(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := errors.Join(json.Unmarshal(text, &got), json.Unmarshal(golden, &want)); err != nil {
			t.Fatal(err)
		}
		for _, unread := range []string{"epoch", "revision", "changes", "refused"} {
			delete(want, unread)
		}
		for _, s := range want["scouts"].([]any) {
			delete(s.(map[string]any), "revision")
			if s := s.(map[string]any); s["scanned"] == 0.0 {
				delete(s, "scanned")
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n%v\n%v", name, got, want)
		}
	}
}

// A token file may be replaced at any time.
func TestTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var got string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte("{}"))
	}))
	defer server.Close()
	c, err := client.New(server.URL, client.Options{TokenFile: file})
	if err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]string{"secret\n": "Bearer secret", "name:other": "Bearer other"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Scouts(t.Context()); err != nil || got != want {
			t.Errorf("%q, %v, want %q", got, err, want)
		}
	}
	if err := os.WriteFile(file, []byte("a\nb"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Scouts(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("two tokens: %v", err)
	}
}

func TestCAFile(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write([]byte("{}"))
	}))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(server.URL, client.Options{CAFile: file})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Scouts(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestProblemTypes(t *testing.T) {
	_, c := open(t)
	for _, err := range c.List(t.Context(), client.Query{Matches: []string{"["}}) {
		if !errors.Is(err, client.ErrBadQuery) || errors.Is(err, client.ErrUnauthorized) {
			t.Errorf("%v", err)
		}
	}
}

func TestFileAsJSON(t *testing.T) {
	for _, f := range []client.File{
		{Name: "a/b", Host: "h", Directory: "/d"},
		{Name: "bad\xff\xfe", Host: "é", Directory: "/\xff"},
		{Name: "\u2028\"\\", Host: "h", Directory: "/"},
	} {
		text, err := json.Marshal(f)
		if err != nil {
			t.Fatal(err)
		}
		var again client.File
		if err := json.Unmarshal(text, &again); err != nil || again != f {
			t.Errorf("%s became %+q, %v", text, again, err)
		}
	}
}

// A module elsewhere can use the package from a checkout, as its documentation
// says.
func TestFromAnotherModule(t *testing.T) {
	checkout, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod": "module example.com/reader\n\ngo 1.26\n\nrequire scout v0.0.0\n\nreplace scout => " + checkout + "\n",
		"main.go": `package main

import "scout/client"

func main() {
	if _, err := client.New("http://localhost:3001", client.Options{}); err != nil {
		panic(err)
	}
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "run", "-mod=mod", ".")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A file of authorities is used whole or not at all.
func TestCAFileHalfRead(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	good := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, append(good, "-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.New(server.URL, client.Options{CAFile: file}); err == nil || !strings.Contains(err.Error(), "block 2 is damaged") {
		t.Error(err)
	}
}
