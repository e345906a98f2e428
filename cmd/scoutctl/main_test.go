package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/cmd/internal/version"
	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/roster"
	"scout/internal/web"
)

// scouts are the scouts of a scoutmaster that a test plays.
type scouts struct {
	list        *listing.Listing
	roster      roster.Roster
	unconfirmed []roster.Unconfirmed
}

func (s *scouts) Barrier(context.Context, func(files.Origin) bool) (*listing.Version, []roster.Unconfirmed) {
	return s.list.Current(), s.unconfirmed
}

func (s *scouts) Roster() roster.Roster       { return s.roster }
func (*scouts) Ready() error                  { return nil }
func (*scouts) ReadyChanged() <-chan struct{} { return nil }

var origin = files.Origin{Host: "web-01", Directory: "/srv"}

// master serves a list, and sets the environment to it.
func master(t *testing.T, names ...string) *scouts {
	t.Helper()
	s := &scouts{list: listing.New()}
	s.list.Show(origin, filestest.Set(names...), nil)
	s.roster.Scouts = []roster.Scout{{Origin: origin, State: roster.Live, Files: len(names), Heard: time.Now()}}
	server := httptest.NewServer(web.NewHandler(s.list, s, func() error { return nil }, web.Options{Watchers: 10}, zap.NewNop()))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	t.Setenv("SCOUT_URL", server.URL)
	return s
}

// scoutctl runs the program and returns what it prints and its exit code.
func scoutctl(t *testing.T, words ...string) (out, errors string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), append([]string{"scoutctl"}, words...), terminal{out: &o, err: &e})
	return o.String(), e.String(), code
}

func TestFiles(t *testing.T) {
	master(t, "a.log", "sub/b", "bad\xff", "esc\x1b[31m")
	for words, want := range map[string]string{
		"files":                                         "HOST    PATH\nweb-01  /srv/a.log\nweb-01  /srv/bad\ufffd\nweb-01  /srv/esc\ufffd[31m\nweb-01  /srv/sub/b\n",
		"files -o wide sub/*":                           "HOST    DIRECTORY  FILENAME\nweb-01  /srv       sub/b\n",
		"files -i SUB/*":                                "HOST    PATH\nweb-01  /srv/sub/b\n",
		"files SUB/*":                                   "",
		"files -count":                                  "4\n",
		"files -count -fresh 2s *.log":                  "1\n",
		"files -fresh 2s -o ndjson *.log":               `{"filename":"a.log","host":"web-01","directory":"/srv"}` + "\n",
		"files -fresh 2s -o json *.log":                 `{"files":[` + "\n" + `{"filename":"a.log","host":"web-01","directory":"/srv"}` + "\n" + `],"unconfirmed":[]}` + "\n",
		"files -fresh 2s -o json none":                  `{"files":[],"unconfirmed":[]}` + "\n",
		"files -fresh 2s sub/*":                         "HOST    PATH\nweb-01  /srv/sub/b\n",
		"files -fresh 2s -o nul -prefix bad":            "/srv/bad\xff\x00",
		"files -o --generate-shell-completion":          "table\nwide\njson\nndjson\ntext\nnul\n",
		"scouts -o --generate-shell-completion":         "table\njson\n",
		"files --host --generate-shell-completion":      "web-01\n",
		"watch --directory --generate-shell-completion": "/srv\n",
		"files sub/* -o text":                           "/srv/sub/b\n",
		"files -prefix bad -o nul":                      "/srv/bad\xff\x00",
		"files -o ndjson *.log":                         `{"filename":"a.log","host":"web-01","directory":"/srv"}` + "\n",
		"files -o json *.log":                           `{"files":[` + "\n" + `{"filename":"a.log","host":"web-01","directory":"/srv"}` + "\n]}\n",
		"files -o json -host other":                     `{"files":[]}` + "\n",
		"files -o text --fresh=2s --host web-01 *.log":  "/srv/a.log\n",
	} {
		out, errors, code := scoutctl(t, strings.Fields(words)...)
		if out != want || errors != "" || code != exitOK {
			t.Errorf("%s: %q, %q, exit %d, want %q", words, out, errors, code, want)
		}
	}
}

func TestMistakes(t *testing.T) {
	master(t, "a")
	for words, want := range map[string]string{
		"files -o xml":    "none of table, wide",
		"files a b":       "second pattern",
		"files [":         "not a glob pattern",
		"file":            `no command "file"`,
		"files -bogus":    "bogus",
		"files -fresh 1x": "1x",
		"scouts -o wide":  "neither table nor json",
	} {
		out, errors, code := scoutctl(t, strings.Fields(words)...)
		if out != "" || code != exitFailed || !strings.Contains(errors, want) || strings.Count(errors, "\n") != 1 {
			t.Errorf("%s: %q, %q, exit %d, want %q", words, out, errors, code, want)
		}
	}
}

func TestCheck(t *testing.T) {
	s := master(t, "a")
	if out, _, code := scoutctl(t, "check"); out != "whole\n" || code != exitOK {
		t.Errorf("whole: %q, exit %d", out, code)
	}
	s.unconfirmed = []roster.Unconfirmed{{Origin: origin, Reason: "no answer in time"}}
	if out, _, code := scoutctl(t, "check"); !strings.HasPrefix(out, "unconfirmed: web-01: /srv: no answer") || code != exitIncomplete {
		t.Errorf("unconfirmed: %q, exit %d", out, code)
	}
	s.roster.Scouts[0].State, s.roster.Scouts[0].Reason = roster.Unavailable, "not mounted"
	if out, _, code := scoutctl(t, "check"); out != "unavailable: web-01: /srv: not mounted\n" || code != exitIncomplete {
		t.Errorf("hidden: %q, exit %d", out, code)
	}
	s.roster, s.unconfirmed = roster.Roster{Scoutmasters: []roster.Scoutmaster{
		{Name: "m1", State: roster.ScoutmasterLive}, {Name: "m2", State: roster.ScoutmasterCutOff, URL: "http://m2:3001"}, {Name: "m3", State: roster.ScoutmasterGone},
	}}, nil
	if out, _, code := scoutctl(t, "check"); out != "cut off: scoutmaster m2: http://m2:3001\ngone: scoutmaster m3: -\n" || code != exitIncomplete {
		t.Errorf("scoutmasters: %q, exit %d", out, code)
	}
	s.roster = roster.Roster{Scouts: s.roster.Scouts, Gone: 2, Left: []roster.Left{
		{Origin: files.Origin{Host: "web-02", Directory: "/srv"}, Reason: "deregistered"},
		{Origin: files.Origin{Host: "web-03", Directory: "/srv"}, Reason: "stream broken"},
	}}
	if out, _, code := scoutctl(t, "check"); out != "gone: web-03: /srv: stream broken\ngone: 1 more\n" || code != exitIncomplete {
		t.Errorf("gone: %q, exit %d", out, code)
	}
	out, _, _ := scoutctl(t, "scouts")
	if words := strings.Join(strings.Fields(out), " "); !strings.Contains(words, " gone web-03 /srv - - - stream broken 1 more are gone: ") || strings.Contains(words, "web-02") {
		t.Errorf("scouts that are gone: %q", out)
	}
	if code := run(t.Context(), []string{"scoutctl", "check"}, terminal{out: brokenPipe{}, err: io.Discard}); code != exitIncomplete {
		t.Errorf("gone, and nobody reads: exit %d", code)
	}
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, words := range []string{"check", "files"} {
		if code := run(interrupted, []string{"scoutctl", words}, terminal{out: io.Discard, err: io.Discard}); code != exitFailed {
			t.Errorf("%s, interrupted: exit %d", words, code)
		}
	}
	t.Setenv("SCOUT_URL", "http://127.0.0.1:1")
	if _, errors, code := scoutctl(t, "check"); code != exitFailed || !strings.Contains(errors, "refused; name the scoutmaster in -url or SCOUT_URL") {
		t.Errorf("no scoutmaster: %q, exit %d", errors, code)
	}
}

// The first rows of a fresh list are written while the others are still to come.
func TestFreshListIsNotHeld(t *testing.T) {
	read := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"files":[`)
		for i := range 2 * firstScreen {
			fmt.Fprintf(w, `%s{"filename":"%d","host":"h","directory":"/d"}`, strings.Repeat(",", min(i, 1)), i)
		}
		w.(http.Flusher).Flush()
		select {
		case <-read:
		case <-r.Context().Done():
		}
		io.WriteString(w, `],"later":{"x":[1]},"unconfirmed":[{"host":"h","directory":"/d","reason":"slow"}]}`)
	}))
	defer server.Close()
	t.Setenv("SCOUT_URL", server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, in := io.Pipe()
	var remarks bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"scoutctl", "files", "-fresh", "1s"}, terminal{out: in, err: &remarks})
		in.Close()
	}()
	lines := bufio.NewReader(out)
	if title, err := lines.ReadString('\n'); title != "HOST  PATH\n" {
		t.Fatalf("%q, %v", title, err)
	}
	close(read)
	rest, err := io.ReadAll(lines)
	if n := bytes.Count(rest, []byte("\n")); err != nil || n != 2*firstScreen || <-code != exitOK {
		t.Errorf("%d rows, %v", n, err)
	}
	if remarks.String() != "scoutctl: not confirmed by h: /d: slow\n" {
		t.Errorf("it remarks %q", remarks.String())
	}
}

func TestVersion(t *testing.T) {
	for _, word := range []string{"version", "-version", "--version", "-v"} {
		if out, _, code := scoutctl(t, word); out != version.Line("scoutctl")+"\n" || !strings.HasPrefix(out, "scoutctl dev (go1.") || code != exitOK {
			t.Errorf("%s: %q, exit %d", word, out, code)
		}
	}
}

func TestScouts(t *testing.T) {
	s := master(t, "a")
	s.roster.Scouts[0].State, s.roster.Scouts[0].Reason = roster.Degraded, "slow disk"
	out, _, code := scoutctl(t, "scouts")
	if lines := strings.Split(out, "\n"); code != exitOK || len(lines) != 3 || !strings.HasPrefix(lines[1], "degraded  web-01  /srv") || !strings.HasSuffix(lines[1], "slow disk") {
		t.Errorf("%q, exit %d", out, code)
	}
	s.roster.Scouts = append(s.roster.Scouts, roster.Scout{Origin: files.Origin{Host: "web-02", Directory: "/d"}, State: roster.Live, Scoutmaster: "m2"})
	s.roster.Scouts[0].Scoutmaster = "m1"
	out, _, _ = scoutctl(t, "scouts")
	if words := strings.Join(strings.Fields(out), " "); !strings.Contains(words, "s ago m1 slow disk ") || !strings.HasSuffix(words, " /d 0 - m2 -") {
		t.Errorf("in a fleet: %q", out)
	}
	var coloured bytes.Buffer
	run(t.Context(), []string{"scoutctl", "scouts"}, terminal{out: &coloured, err: io.Discard, colour: true})
	if !strings.Contains(coloured.String(), "\x1b[33mdegraded") {
		t.Errorf("on a terminal: %q", coloured.String())
	}
	plain := regexp.MustCompile(`\x1b\[[0-9]+m`).ReplaceAllString(coloured.String(), "")
	if title, row, _ := strings.Cut(plain, "\n"); strings.Index(title, "HOST") != strings.Index(row, "web-01") {
		t.Errorf("the columns are not below their titles: %q", plain)
	}
}

func TestScoutmasters(t *testing.T) {
	s := master(t, "a")
	if out, _, code := scoutctl(t, "scoutmasters"); out != "the scoutmaster is alone\n" || code != exitOK {
		t.Errorf("alone: %q, exit %d", out, code)
	}
	s.roster.Scoutmasters = []roster.Scoutmaster{
		{Name: "m1", URL: "http://m1:3001", State: roster.ScoutmasterLive, Scouts: 3, Revision: 17, Version: "v1"},
		{Name: "m2", State: roster.ScoutmasterCutOff, Scouts: 1},
	}
	want := "STATE    NAME  SCOUTS  REVISION  VERSION  URL\nlive     m1    3       17        v1       http://m1:3001\ncut off  m2    1       0         -        -\n"
	if out, _, code := scoutctl(t, "scoutmasters"); out != want || code != exitOK {
		t.Errorf("%q, exit %d, want %q", out, code, want)
	}
	if out, _, code := scoutctl(t, "scoutmasters", "-o", "json"); !strings.Contains(out, `"state": "cut off"`) || code != exitOK {
		t.Errorf("%q, exit %d", out, code)
	}
}

// lineReader gives a test the lines that the program prints.
type lineReader struct{ lines chan string }

func (l lineReader) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		l.lines <- strings.TrimSpace(line)
	}
	return len(p), nil
}

// After a break, also one that ends in a reset, a line says each difference.
func TestWatch(t *testing.T) {
	s := master(t, "a", "b")
	source := s.list.Show(files.Origin{Host: "web-02", Directory: "/d"}, filestest.Set("x"), nil)
	out := lineReader{make(chan string)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int)
	go func() {
		ended <- run(ctx, []string{"scoutctl", "watch", "-all"}, terminal{out: out, err: io.Discard})
	}()
	expect := func(want ...string) {
		t.Helper()
		for _, line := range want {
			if got := <-out.lines; got != line {
				t.Errorf("%q, want %q", got, line)
			}
		}
	}
	expect("+ web-01 /srv/a", "+ web-01 /srv/b", "+ web-02 /d/x")
	if _, err := s.list.Change(source, files.Delta{Removed: filestest.Set("x"), Added: filestest.Set("y")}); err != nil {
		t.Fatal(err)
	}
	expect("- web-02 /d/x", "+ web-02 /d/y")
	s.list.Show(origin, filestest.Set("b", "c"), nil) // a second source of the same origin, as after a reset
	expect("+ web-01 /srv/c")
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d after an interrupt", code)
	}
}

// brokenPipe is a pager that was closed.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestBrokenPipe(t *testing.T) {
	master(t, "a")
	var errors bytes.Buffer
	if code := run(t.Context(), []string{"scoutctl", "files"}, terminal{out: brokenPipe{}, err: &errors}); code != exitOK || errors.Len() > 0 {
		t.Errorf("exit %d, %s", code, errors.String())
	}
}

// The first lines of a long list come before the last ones exist.
func TestFirstLinesAtOnce(t *testing.T) {
	enough := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		for range 100 {
			io.WriteString(w, `{"filename":"a","host":"h","directory":"/d"}`+"\n")
		}
		w.(http.Flusher).Flush()
		<-enough
	}))
	defer server.Close()
	t.Setenv("SCOUT_URL", server.URL)
	out := lineReader{make(chan string)}
	ended := make(chan int)
	go func() {
		ended <- run(t.Context(), []string{"scoutctl", "files"}, terminal{out: out, err: io.Discard})
	}()
	if got := <-out.lines; got != "HOST  PATH" {
		t.Errorf("the first line is %q", got)
	}
	for range firstScreen {
		if got := <-out.lines; got != "h     /d/a" {
			t.Errorf("a line is %q", got)
		}
	}
	close(enough)
	for range 100 - firstScreen {
		<-out.lines
	}
	if code := <-ended; code != exitOK {
		t.Errorf("exit %d", code)
	}
}
