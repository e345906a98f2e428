package web

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/roster"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *updateGolden {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func sample() *listing.Listing {
	l := listing.New()
	l.Show(files.Origin{Host: "web-02", Directory: "/srv/data"}, filestest.Set("logs/2026/app.log", "app.log", "a/b", "a.txt", "a"), nil)
	l.Show(files.Origin{Host: "web-01", Directory: "/srv/data"}, filestest.Set("app.log"), nil)
	l.Show(files.Origin{Host: "web-01", Directory: "/srv/more"}, filestest.Set("app.log"), nil)
	l.Show(files.Origin{Host: "wéb \"3\"", Directory: "/srv/\xff"},
		filestest.Set("bad\xff\xfeutf8", "cut\xe2\x82", "new\nline", "tab\t\x1b[31m\u009b", `quote"back\slash`, "snow☃", "<script>", "\u2028", "del\x7f"), nil)
	return l
}

func get(t *testing.T, h http.Handler, method, target string) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

func body(t *testing.T, r *http.Response) []byte {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newTestHandler(l *listing.Listing) *Handler {
	return NewHandler(l, nobody{l}, func() error { return nil }, Options{Watchers: 10}, zap.NewNop())
}

func TestFilesGolden(t *testing.T) {
	l := sample()
	for range 2 { // as runs, then merged
		h := newTestHandler(l)
		golden(t, "files.json", body(t, get(t, h, "GET", "/files")))
		golden(t, "prefix.json", body(t, get(t, h, "GET", "/files?prefix=a%2F&prefix=bad%FF&prefix=app&prefix=app.l")))
		golden(t, "nothing.json", body(t, get(t, h, "GET", "/files?prefix=zzz")))
		if err := l.Merge(); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "empty.json", body(t, get(t, newTestHandler(listing.New()), "GET", "/files")))
}

// Whatever the bytes of a name, the answer is JSON and the bytes come back.
func TestEveryByteComesBack(t *testing.T) {
	var names []string
	for c := 1; c < 256; c++ {
		if c != '/' {
			names = append(names, "x"+string([]byte{byte(c)}), string([]byte{byte(c)})+"é")
		}
	}
	l := listing.New()
	l.Show(files.Origin{Host: "h", Directory: "/d"}, filestest.Set(names...), nil)
	var answer struct {
		Files []struct {
			Filename       string `json:"filename"`
			FilenameBase64 string `json:"filename_base64"`
		} `json:"files"`
	}
	if err := json.Unmarshal(body(t, get(t, newTestHandler(l), "GET", "/files")), &answer); err != nil {
		t.Fatal(err)
	}
	set := filestest.Set(names...)
	i := 0
	for c := set.Cursor(); c.Next(); i++ {
		got := answer.Files[i].Filename
		if b := answer.Files[i].FilenameBase64; b != "" {
			raw, err := base64.StdEncoding.DecodeString(b)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.ToValidUTF8(string(raw), "\ufffd"); want != got {
				t.Errorf("%q is shown as %q, want %q", raw, got, want)
			}
			got = string(raw)
		}
		if got != string(c.Name()) {
			t.Errorf("entry %d is %q, want %q", i, got, c.Name())
		}
	}
	if i != len(answer.Files) {
		t.Errorf("%d entries, want %d", len(answer.Files), i)
	}
}

func TestErrorsAreProblems(t *testing.T) {
	h := NewHandler(sample(), nil, func() error { return errors.New("the scoutmaster is stopping") }, Options{}, zap.NewNop())
	for _, tc := range []struct {
		method, target string
		status         int
	}{
		{"POST", "/files", 405},
		{"DELETE", "/healthz", 405},
		{"POST", "/", 405},
		{"GET", "/page/", 404},
		{"GET", "/file", 404},
		{"GET", "/files/", 404},
		{"GET", "/files?colour=red", 400},
		{"GET", "/files?prefix=%zz", 400},
		{"GET", "/readyz", 503},
	} {
		r := get(t, h, tc.method, tc.target)
		var p struct {
			Title, Detail string
			Status        int
		}
		if err := json.Unmarshal(body(t, r), &p); err != nil {
			t.Errorf("%s %s: %v", tc.method, tc.target, err)
		}
		if r.StatusCode != tc.status || p.Status != tc.status || p.Title == "" || p.Detail == "" ||
			r.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %+v %v", tc.method, tc.target, r.StatusCode, p, r.Header)
		}
		if tc.status == 405 && (r.Header.Get("Allow") != "GET, HEAD" || p.Detail != tc.target+" answers GET and HEAD, not "+tc.method) {
			t.Errorf("%s %s: Allow is %q, and %s", tc.method, tc.target, r.Header.Get("Allow"), p.Detail)
		}
	}
}

func TestHead(t *testing.T) {
	r := get(t, newTestHandler(sample()), "HEAD", "/files")
	if b := body(t, r); r.StatusCode != 200 || len(b) != 0 || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d, %d bytes, %v", r.StatusCode, len(b), r.Header)
	}
}

func TestHealthIsPlain(t *testing.T) {
	h := newTestHandler(listing.New())
	for _, path := range []string{"/healthz", "/readyz"} {
		if r := get(t, h, "GET", path); r.StatusCode != 200 || string(body(t, r)) != "ok\n" {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
	}
}

// nobody is the scouts of a list that has none.
type nobody struct{ list *listing.Listing }

func (n nobody) Barrier(context.Context, func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	return n.list.Current(), nil
}

func (nobody) Roster() roster.Roster         { return roster.Roster{} }
func (nobody) Ready() error                  { return nil }
func (nobody) ReadyChanged() <-chan struct{} { return nil }
