//go:build linux

package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"scout/cmd/internal/testfleet"
)

// client asks masters as any consumer would.
var client = &http.Client{Timeout: time.Minute}

// get asks for a path, and for nothing but 200 OK.
func (m *master) get(path string) ([]byte, error) {
	r, err := client.Get("http://" + m.http + path)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("GET %s: %s: %s", path, r.Status, body)
	}
	return body, err
}

// list asks for the list and checks all that must be true of any.
func (m *master) list() ([]testfleet.Entry, error) {
	body, err := m.get("/files")
	if err != nil {
		return nil, err
	}
	entries, err := parse(body)
	if err != nil {
		return nil, &wrongListError{err}
	}
	return entries, nil
}

// wrongListError is a list that no master may ever give.
type wrongListError struct{ error }

// parse reads a list strictly: known fields, one entry a line, in order,
// nothing twice, and exact bytes where the text cannot say them.
func parse(body []byte) ([]testfleet.Entry, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the list is not UTF-8")
	}
	var list struct{ Files []testfleet.Entry }
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("the list is not JSON: %w: %.200q", err, body)
	}
	if err := checkLines(body, len(list.Files)); err != nil {
		return nil, err
	}
	for i, e := range list.Files {
		if err := checkText(e.Filename, e.FilenameBase64, e.Name()); err != nil {
			return nil, err
		}
		if err := checkText(e.Directory, e.DirectoryBase64, e.Dir()); err != nil {
			return nil, err
		}
		if i > 0 && compareEntries(list.Files[i-1], e) >= 0 {
			return nil, fmt.Errorf("entry %d is %+v, after %+v", i, e, list.Files[i-1])
		}
	}
	return list.Files, nil
}

func compareEntries(a, b testfleet.Entry) int {
	return cmp.Or(strings.Compare(a.Name(), b.Name()), strings.Compare(a.Host, b.Host), strings.Compare(a.Dir(), b.Dir()))
}

// checkLines checks the lines that line tools rely on.
func checkLines(body []byte, entries int) error {
	lines := strings.Split(string(body), "\n")
	if entries == 0 {
		if string(body) != `{"files":[]}` {
			return fmt.Errorf("the empty list is %q", body)
		}
		return nil
	}
	if len(lines) != entries+2 || lines[0] != `{"files":[` || lines[entries+1] != `]}` {
		return fmt.Errorf("%d entries in %d lines, from %.99q to %.99q", entries, len(lines), lines[0], lines[len(lines)-1])
	}
	for i, line := range lines[1 : entries+1] {
		text, comma := strings.CutSuffix(line, ",")
		if comma == (i == entries-1) || !strings.HasPrefix(text, `{"filename":"`) || !strings.HasSuffix(text, `"}`) {
			return fmt.Errorf("line %d of %d is %q", i+2, entries+2, line)
		}
	}
	return nil
}

// checkText checks that text shows the bytes, one U+FFFD for each bad one, and
// that the base64 is there exactly when it is needed.
func checkText(text, base64, exact string) error {
	if (base64 != "") == utf8.ValidString(exact) {
		return fmt.Errorf("%q has the base64 %q", text, base64)
	}
	if shown := string([]rune(exact)); base64 != "" && text != shown {
		return fmt.Errorf("%q shows %q", text, exact)
	}
	return nil
}

// find is the judge: what must be listed of a directory, in order.
func find(t *testing.T, dir string) []string {
	t.Helper()
	cmd := exec.Command("find", dir, "!", "-type", "d", "-printf", `%P\0`)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("find %q: %v", dir, err)
	}
	names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	if len(out) == 0 {
		return nil
	}
	slices.Sort(names)
	return names
}

// of returns the names that entries have of a scout.
func of(entries []testfleet.Entry, host, dir string) (names []string) {
	for _, e := range entries {
		if e.Host == host && e.Dir() == dir {
			names = append(names, e.Name())
		}
	}
	return names
}

// converges waits until the list is what find says of the scouts' directories,
// in which nothing happens any more, and nothing else. It returns how long that
// took.
func converges(t *testing.T, m *master, scouts ...*scout) time.Duration {
	t.Helper()
	return convergesWithin(t, patience, m, scouts...)
}

func convergesWithin(t *testing.T, limit time.Duration, m *master, scouts ...*scout) time.Duration {
	t.Helper()
	took, err := settles(t, limit, m, scouts...)
	if err != nil {
		t.Errorf("after %s: %v\n%s", took.Round(time.Millisecond), err, tail(m.Process))
		for _, s := range scouts {
			t.Log(tail(s.Process))
		}
		t.FailNow()
	}
	return took
}

// settles is converges with an error for the caller to report.
func settles(t *testing.T, limit time.Duration, m *master, scouts ...*scout) (time.Duration, error) {
	t.Helper()
	want := make([][]string, len(scouts))
	for i, s := range scouts {
		want[i] = find(t, s.dir)
	}
	return eventually(limit, func() error {
		entries, err := m.list()
		if err != nil {
			return err
		}
		total := 0
		for i, s := range scouts {
			if err := compare(want[i], of(entries, s.host, s.dir)); err != nil {
				return fmt.Errorf("%s in %s: %w", s.host, s.dir, err)
			}
			total += len(want[i])
		}
		if len(entries) != total {
			return fmt.Errorf("%d entries are listed, %d are these scouts'", len(entries), total)
		}
		return nil
	})
}

// eventually repeats check until it is nil, and returns how long that took and
// what the last one said. A list that no master may give ends it at once.
func eventually(limit time.Duration, check func() error) (time.Duration, error) {
	began := time.Now()
	for {
		start := time.Now()
		err := check()
		took := time.Since(began)
		if wrong := (*wrongListError)(nil); err == nil || errors.As(err, &wrong) || took > limit {
			return took, err
		}
		time.Sleep(max(5*time.Millisecond, 2*time.Since(start))) // leave the machine to the programs
	}
}

// within is eventually for a test that ends without.
func within(t *testing.T, limit time.Duration, check func() error) time.Duration {
	t.Helper()
	took, err := eventually(limit, check)
	if err != nil {
		t.Fatalf("after %s: %v", took.Round(time.Millisecond), err)
	}
	return took
}

// lists checks that the list has exactly these names of a scout.
func (m *master) lists(host, dir string, want ...string) error {
	entries, err := m.list()
	if err != nil {
		return err
	}
	return compare(want, of(entries, host, dir))
}

// absent checks that nothing of a scout is listed.
func (m *master) absent(s *scout) error { return m.lists(s.host, s.dir) }

// compare says how got differs from want, both sorted.
func compare(want, got []string) error {
	if slices.Equal(want, got) {
		return nil
	}
	missing, extra := without(want, got), without(got, want)
	return fmt.Errorf("%d names are listed, find has %d: missing %d: %.300q; too many %d: %.300q",
		len(got), len(want), len(missing), missing[:min(8, len(missing))], len(extra), extra[:min(8, len(extra))])
}

// without returns what a has and b does not.
func without(a, b []string) (rest []string) {
	in := make(map[string]bool, len(b))
	for _, s := range b {
		in[s] = true
	}
	for _, s := range a {
		if !in[s] {
			rest = append(rest, s)
		}
	}
	return rest
}
