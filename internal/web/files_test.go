package web

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/render"
)

// ask sends a request with headers, given as name and value in turn.
func ask(t *testing.T, h http.Handler, method, target string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func TestFormatsGolden(t *testing.T) {
	l := sample()
	l.Show(files.Origin{Host: "root", Directory: "/"}, filestest.Set("etc/passwd"), nil)
	for range 2 { // as runs, then merged
		h := newTestHandler(l)
		for _, f := range []render.Format{render.JSON, render.NDJSON, render.Text, render.NUL} {
			name := f.String()
			asked := ask(t, h, "GET", "/files?format="+name)
			if got := asked.Header.Get("Vary"); got != "Accept-Encoding" {
				t.Errorf("%s: varies with %s", name, got)
			}
			golden(t, "all."+name, body(t, asked))
			accepted := ask(t, h, "GET", "/files", "Accept", f.MediaType())
			if got := accepted.Header; got.Get("Content-Type") != f.MediaType() || got.Get("Vary") != "Accept, Accept-Encoding" {
				t.Errorf("%s: %v", name, got)
			}
			golden(t, "all."+name, body(t, accepted))
			golden(t, "page."+name, body(t, withoutCursor(t, ask(t, h, "GET", "/files?limit=3&match=**/app.log&host=web-01&host=web-02&format="+name))))
			golden(t, "none."+name, body(t, ask(t, h, "GET", "/files?host=nobody&format="+name)))
		}
		merge(t, l)
	}
}

// withoutCursor replaces the cursor in an answer, which is another one each time.
func withoutCursor(t *testing.T, r *http.Response) *http.Response {
	t.Helper()
	text := body(t, r)
	if _, link, ok := strings.Cut(r.Header.Get("Link"), "after="); ok {
		cursor, _, _ := strings.Cut(link, "&")
		text = bytes.ReplaceAll(text, []byte(cursor), []byte("CURSOR"))
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return r
}

func TestNothingFits(t *testing.T) {
	h := newTestHandler(sample())
	for _, headers := range [][]string{{"Accept", "image/png"}, {"Accept-Encoding", "identity;q=0"}} {
		r := ask(t, h, "GET", "/files", headers...)
		if text := string(body(t, r)); r.StatusCode != 406 || !strings.Contains(text, `"/problems/not-acceptable"`) {
			t.Errorf("%q: %d %s", headers, r.StatusCode, text)
		}
	}
	if r := ask(t, h, "GET", "/files?format=text", "Accept", "image/png"); r.StatusCode != 200 {
		t.Errorf("format does not win over Accept: %d", r.StatusCode)
	}
}

// HEAD has the headers of GET, whatever is asked.
func TestHeadIsGetWithoutBody(t *testing.T) {
	h := newTestHandler(sample())
	for _, target := range []string{"/files", "/files?limit=2", "/files?limit=2&format=text", "/files?format=nul", "/files?limit=0", "/files?match=**/*"} {
		for _, coding := range []string{"", "gzip", "zstd"} {
			got, want := ask(t, h, "HEAD", target, "Accept-Encoding", coding), ask(t, h, "GET", target, "Accept-Encoding", coding)
			if got.StatusCode != want.StatusCode {
				t.Errorf("%s: %d, want %d", target, got.StatusCode, want.StatusCode)
			}
			for name := range want.Header {
				if got.Header.Get(name) != want.Header.Get(name) {
					t.Errorf("%s: %s is %q, want %q", target, name, got.Header.Get(name), want.Header.Get(name))
				}
			}
		}
	}
}

func TestCodingsOverHTTP(t *testing.T) {
	h := newTestHandler(sample())
	want := body(t, ask(t, h, "GET", "/files?prefix=a"))
	for _, c := range []render.Coding{render.Gzip, render.Zstd} {
		r := ask(t, h, "GET", "/files?prefix=a", "Accept-Encoding", c.String())
		if got := filestest.Unpack(t, body(t, r), c.String()); r.Header.Get("Content-Encoding") != c.String() || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, %d bytes, want %d", c, r.Header, len(got), len(want))
		}
	}
}

func TestNotModified(t *testing.T) {
	l := sample()
	h := newTestHandler(l)
	tag := ask(t, h, "GET", "/files").Header.Get("ETag")
	if !strings.HasPrefix(tag, `W/"`) {
		t.Fatalf("the tag is %s", tag)
	}
	status := func(h http.Handler, target, known string) int {
		r := ask(t, h, "GET", target, "If-None-Match", known)
		if r.StatusCode == 304 && (len(body(t, r)) > 0 || r.Header.Get("ETag") == "" || r.Header.Get("Vary") == "" || r.Header.Get("Content-Type") != "") {
			t.Errorf("%s: %v", target, r.Header)
		}
		return r.StatusCode
	}
	for known, want := range map[string]int{
		tag: 304, strings.TrimPrefix(tag, "W/"): 304, "*": 304, `"a", ` + tag + `, "b"`: 304, "\t*": 304,
		"": 200, `"other"`: 200, strings.Trim(tag, `W/"`): 200, `W/"` + tag: 200,
	} {
		if got := status(h, "/files", known); got != want {
			t.Errorf("%s: %d, want %d", known, got, want)
		}
	}
	if got := status(h, "/files?format=text", tag); got != 200 {
		t.Errorf("the tag of JSON is taken for that of text: %d", got)
	}
	if got := status(newTestHandler(sample()), "/files", tag); got != 200 {
		t.Errorf("the tag of a scoutmaster that is gone is known: %d", got)
	}
	if got := status(h, "/files?limit=0", "*"); got != 400 {
		t.Errorf("a bad query is not modified: %d", got)
	}
	merge(t, l)
	if got := status(h, "/files", tag); got != 304 {
		t.Errorf("merging modifies the list: %d", got)
	}
	l.Show(files.Origin{Host: "new", Directory: "/"}, filestest.Set("new"), nil)
	if got := status(h, "/files", tag); got != 200 {
		t.Errorf("a change does not modify the list: %d", got)
	}
}

// page is an answer in JSON.
type page struct {
	Files []struct {
		Filename, Host, Directory string
		FilenameBase64            []byte `json:"filename_base64"`
		DirectoryBase64           []byte `json:"directory_base64"`
	}
	Next *string
}

// entries returns the page's entries with their exact bytes.
func (p *page) entries() (all []entry) {
	for _, f := range p.Files {
		e := entry{f.Filename, files.Origin{Host: f.Host, Directory: f.Directory}}
		if f.FilenameBase64 != nil {
			e.name = string(f.FilenameBase64)
		}
		if f.DirectoryBase64 != nil {
			e.Directory = string(f.DirectoryBase64)
		}
		all = append(all, e)
	}
	return all
}

// walk asks for page after page, calling between before each but the first, and
// returns all the entries.
func walk(t *testing.T, h http.Handler, target string, between func()) (all []entry) {
	t.Helper()
	for next := target; ; between() {
		r := ask(t, h, "GET", next)
		var p page
		if err := json.Unmarshal(body(t, r), &p); err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %d, %v", next, r.StatusCode, err)
		}
		all = append(all, p.entries()...)
		if p.Next == nil {
			if link := r.Header.Get("Link"); link != "" {
				t.Errorf("%s: the last page has a link to %s", target, link)
			}
			return all
		}
		link, _, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Link"), "<"), `>; rel="next"`)
		want := nextURL(t, next, *p.Next)
		if link != strings.TrimPrefix(want, "/") { // relative, for proxies
			t.Fatalf("the link is %s, want %s", link, want)
		}
		next = want
	}
}

func nextURL(t *testing.T, target, cursor string) string {
	t.Helper()
	u, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	values := u.Query()
	values.Del("from")
	values.Del("offset")
	values.Set("after", cursor)
	u.RawQuery = values.Encode()
	return u.String()
}

func TestPagesAreTheList(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, _ := randomListing(t, r)
		h := newTestHandler(l)
		for range 5 {
			conditions := randomConditions(r)
			want := walk(t, h, "/files?"+conditions.Encode(), nil)
			conditions.Set("limit", strconv.Itoa(1+r.IntN(len(want)+3)))
			if got := walk(t, h, "/files?"+conditions.Encode(), func() {}); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %v: %d entries, want %d", seed, conditions, len(got), len(want))
			}
		}
	}
}

// An answer may begin anywhere in what is selected. It says where that is, and how
// much is selected, and the walk goes on from there.
func TestCountAndBeginning(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		l, _ := randomListing(t, r)
		h := newTestHandler(l)
		for range 20 {
			conditions := randomConditions(r)
			all := walk(t, h, "/files?"+conditions.Encode(), nil)
			conditions.Set("count", "true")
			before := 0
			switch r.IntN(3) {
			case 0:
				before = r.IntN(len(all) + 2)
				conditions.Set("offset", strconv.Itoa(before))
				before = min(before, len(all))
			case 1:
				from := randomName(r)
				conditions.Set("from", from)
				before = sort.Search(len(all), func(i int) bool { return all[i].name >= from })
			}
			if got := walk(t, h, "/files?"+conditions.Encode(), nil); !slices.Equal(got, all[before:]) {
				t.Fatalf("seed %d, %v: %d entries, want %d", seed, conditions, len(got), len(all)-before)
			}
			conditions.Set("limit", strconv.Itoa(1+r.IntN(5)))
			if got := walk(t, h, "/files?"+conditions.Encode(), func() {}); !slices.Equal(got, all[before:]) {
				t.Fatalf("seed %d, pages of %v: %d entries, want %d", seed, conditions, len(got), len(all)-before)
			}
			answer := get(t, h, "GET", "/files?"+conditions.Encode())
			var counted struct{ Count, Offset int }
			if err := json.Unmarshal(body(t, answer), &counted); err != nil {
				t.Fatal(err)
			}
			if header := answer.Header.Get("Scout-Count"); counted.Count != len(all) || counted.Offset != before || header != strconv.Itoa(len(all)) {
				t.Fatalf("seed %d, %v: %+v, header %q, want %d from %d", seed, conditions, counted, header, len(all), before)
			}
		}
	}
	r := get(t, newTestHandler(sample()), "HEAD", "/files?match=**/app.log&count=true&format=text")
	if got := r.Header.Get("Scout-Count"); got != "4" { // 3 and logs/2026/app.log
		t.Errorf("HEAD counts %q", got)
	}
}

// While files and scouts come and go, what is there throughout is met exactly
// once, and all that is met is in order.
func TestPagesWhileTheListChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		l, lasting := randomListing(t, r)
		busy := l.Show(files.Origin{Host: "busy", Directory: "/srv"}, filestest.Set("a"), nil)
		present := map[string]bool{"a": true}
		change := func() {
			name := randomName(r)
			d := files.Delta{Removed: filestest.Set(), Added: filestest.Set(name)}
			if present[name] {
				d.Removed, d.Added = d.Added, d.Removed
			}
			if _, err := l.Change(busy, d); err != nil {
				t.Fatal(err)
			}
			present[name] = !present[name]
			if r.IntN(4) == 0 {
				busy = l.Show(busy.Origin, filestest.Set("b"), busy)
				present = map[string]bool{"b": true}
			}
			if r.IntN(8) == 0 {
				merge(t, l)
			}
		}
		got := walk(t, newTestHandler(l), "/files?limit="+strconv.Itoa(1+r.IntN(50)), change)
		if !slices.IsSortedFunc(got, compareEntries) {
			t.Fatal("the walk is not in order")
		}
		seen := slices.DeleteFunc(got, func(e entry) bool { return e.Host == "busy" })
		if !slices.Equal(seen, lasting) {
			t.Fatalf("%d entries that were there throughout, want %d", len(seen), len(lasting))
		}
	}
}

func TestCursorsOfOthers(t *testing.T) {
	h := newTestHandler(sample())
	var p page
	if err := json.Unmarshal(body(t, ask(t, h, "GET", "/files?limit=1&prefix=a&prefix=ab")), &p); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		h      http.Handler
		target string
		status int
		kind   string
	}{
		{h, "/files?prefix=a&after=" + *p.Next, 200, ""},
		{h, "/files?limit=2&format=json&prefix=ab&prefix=a&prefix=a&after=" + *p.Next, 200, ""},
		{h, "/files?after=" + *p.Next, 400, "bad-query"},
		{h, "/files?prefix=ab&after=" + *p.Next, 400, "bad-query"},
		{h, "/files?prefix=a&after=" + (*p.Next)[1:], 400, "bad-query"},
		{h, "/files?prefix=a&after=" + *p.Next + "&after=" + *p.Next, 400, "bad-query"},
		{h, "/files?prefix=a&after=", 400, "bad-query"},
		{newTestHandler(sample()), "/files?prefix=a&after=" + *p.Next, 410, "cursor-expired"},
	} {
		r := ask(t, tc.h, "GET", tc.target)
		if text := string(body(t, r)); r.StatusCode != tc.status || !strings.Contains(text, tc.kind) {
			t.Errorf("%s: %d %s", tc.target, r.StatusCode, text)
		}
	}
}

// What a shell makes of the list is the files, whatever their names.
func TestNULForXargs(t *testing.T) {
	for _, program := range []string{"sh", "curl", "xargs"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	dir := t.TempDir()
	names := []string{"plain", "two words", "new\nline", `quo"te'`, "-dash", "back\\slash", "\xff\xfe", "a/$(touch x)", " "}
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := ""
	for _, name := range slices.Sorted(slices.Values(names)) {
		want += "yes " + filepath.Join(dir, name) + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Skip(err)
		}
	}
	l := listing.New()
	l.Show(files.Origin{Host: "h", Directory: dir}, filestest.Set(names...), nil)
	server := httptest.NewServer(newTestHandler(l))
	defer server.Close()
	command := exec.CommandContext(t.Context(), "sh", "-c",
		`curl -s "$0/files?host=h&format=nul" | xargs -0 sh -c 'for f; do test -f "$f" && echo "yes $f"; done' sh`, server.URL)
	if got, err := command.CombinedOutput(); err != nil || string(got) != want {
		t.Errorf("%v, got\n%q, want\n%q", err, got, want)
	}
}

// Nobody waits for an answer that takes long to find out: it is given up.
func TestGivesUpWhenTheClientLeaves(t *testing.T) {
	l := listing.New()
	var names []string
	for i := range 3 * checkEvery {
		names = append(names, "d/"+strconv.Itoa(i))
	}
	l.Show(files.Origin{Host: "h", Directory: "/"}, filestest.Set(names...), nil)
	q, err := parseQuery("match=**/nothing")
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan struct{})
	close(left)
	s := newSelection(l.Current(), q, left)
	if s.Next() || !s.aborted || s.read > 2*checkEvery {
		t.Errorf("aborted is %v after %d entries", s.aborted, s.read)
	}
}

func merge(t *testing.T, l *listing.Listing) {
	t.Helper()
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
}

// A path with a format answers what /files answers with that format.
func TestPathsWithFormats(t *testing.T) {
	h := newTestHandler(sample())
	for path, format := range filePaths {
		if format == render.AnyFormat || format == render.Events {
			continue
		}
		want, got := ask(t, h, "GET", "/files?limit=2&format="+format.String()), ask(t, h, "GET", path+"?limit=2")
		if w, g := body(t, want), body(t, got); !bytes.Equal(g, w) || got.Header.Get("Content-Type") != want.Header.Get("Content-Type") {
			t.Errorf("%s: %s, want %s", path, g, w)
		}
		if link := got.Header.Get("Link"); !strings.HasPrefix(link, "<"+strings.TrimPrefix(path, "/")+"?after=") {
			t.Errorf("%s: the link is %s", path, link)
		}
		if r := ask(t, h, "GET", path+"?format=json"); r.StatusCode != http.StatusBadRequest {
			t.Errorf("%s?format=json: %s", path, r.Status)
		}
	}
	if got := route("/files.txt"); got != "/files" {
		t.Errorf("the route of /files.txt is %s", got)
	}
}
