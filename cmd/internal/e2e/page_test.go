//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// rowsShown are the filenames in the document, as a person reads them.
const rowsShown = `[...document.querySelectorAll("#rows tr[aria-rowindex] td:first-child")].map((td) => td.textContent)`

// The page shows who is there and which files exist, and follows both.
func TestPage(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), tempDir(t)
	write(t, dir, "app.log")
	write(t, dir, "logs/2026/a.log")
	s := startScout(t, m, "web-01", dir)
	converges(t, m, s)
	complained := complaints(b.ctx)
	b.open(m)
	b.await(rowsShown + `.join() === "app.log,logs/2026/a.log"`)
	b.await(`document.querySelector("#scouts .state.live") && document.querySelector("#total-files").textContent === "2"`)
	if row := b.text("#scouts tr"); !strings.Contains(row, "web-01") || !strings.Contains(row, dir) {
		t.Errorf("the scout is shown as %q", row)
	}

	write(t, dir, "logs/new.log")
	b.await(rowsShown + `.join() === "app.log,logs/2026/a.log,logs/new.log"`)
	must(t, os.Remove(filepath.Join(dir, "app.log")))
	b.await(rowsShown + `.join() === "logs/2026/a.log,logs/new.log"`)
	b.screenshot("page")

	kill(t, s.Process)
	b.await(rowsShown + `.length === 0 && document.querySelectorAll("#scouts tr").length === 0`)
	if found := complained(); len(found) > 0 {
		t.Errorf("the browser complains: %q", found)
	}
}

// A master that comes back finds its page waiting.
func TestPageOutlivesTheMaster(t *testing.T) {
	b := openBrowser(t)
	grpcPort, httpPort := freePort(t), freePort(t)
	m, dir := startMaster(t, "-grpc", grpcPort, "-http", httpPort), tempDir(t)
	write(t, dir, "one")
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	b.open(m)
	b.await(rowsShown + `.join() === "one"`)
	kill(t, m.Process)
	b.await(`document.querySelector("#link.lost")`)
	startMaster(t, "-grpc", grpcPort, "-http", httpPort)
	write(t, dir, "two")
	b.await(`document.querySelector("#link.live")`)
	b.await(rowsShown + `.join() === "one,two"`)
}

// Who needs a token is asked for it, and tells it once.
func TestPageAsksForTheToken(t *testing.T) {
	b := openBrowser(t)
	tokens := filepath.Join(t.TempDir(), "readers")
	must(t, os.WriteFile(tokens, []byte("page:0123456789abcdef0123456789abcdef\n"), 0o600))
	m, dir := startMaster(t, "-http-token-file", tokens), tempDir(t)
	write(t, dir, "one")
	startScout(t, m, "h", dir)
	b.do("open the page", chromedp.Navigate("http://"+m.HTTP+"/"))
	b.await(`!document.querySelector("#door").hidden`)
	if shown := eval[[]string](b, rowsShown); len(shown) > 0 {
		t.Errorf("%q is shown to a stranger", shown)
	}
	b.do("type", chromedp.Focus(chromedp.CSS("#token")), chromedp.KeyEvent("0123456789abcdef0123456789abcdef"), chromedp.KeyEvent(kb.Enter))
	b.await(`document.querySelector("#link.live") && document.querySelector("#door").hidden`)
	b.await(rowsShown + `.join() === "one"`)
}

// A name is text, whatever it says.
func TestPageShowsNamesAsText(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), tempDir(t)
	for _, name := range []string{`<img src=x onerror=alert(1)>`, "new\nline", "bidi\u202egpj.exe", "bad\xff", `"'&amp;`} {
		write(t, dir, name)
	}
	s := startScout(t, m, `<script>alert("host")</script>`, dir)
	converges(t, m, s)
	complained := complaints(b.ctx)
	b.open(m)
	b.await(rowsShown + `.length === 5`)
	want := []string{`"'&amp;`, `<img src=x onerror=alert(1)>`, "bad\ufffd", `bidi\u202egpj.exe`, `new\nline`}
	if got := eval[[]string](b, rowsShown); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	b.await(`document.querySelectorAll("#scouts tr").length === 1`)
	if n := eval[int](b, `document.querySelectorAll("td img, td script").length`); n > 0 {
		t.Errorf("%d elements came out of names", n)
	}
	if found := complained(); len(found) > 0 {
		t.Errorf("the browser complains: %q", found)
	}
}

// However long the list, the document stays small, and all of it can be reached
// and searched.
func TestPageOfManyFiles(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), tempDir(t)
	const files = 5000
	for i := range files {
		write(t, dir, fmt.Sprintf("d%02d/file-%04d.dat", i/100, i))
	}
	write(t, dir, "zz/last")
	write(t, dir, "a[b]{c}*")
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	b.open(m)
	b.await(rowsShown + `.includes("d00/file-0000.dat")`)

	// To the end, as fast as the page lets one.
	b.await(`(document.querySelector("#list").scrollTop = 1e9, ` + rowsShown + `.includes("zz/last"))`)
	if n := eval[int](b, `document.querySelectorAll("#rows tr").length`); n > 100 {
		t.Errorf("%d rows are in the document", n)
	}
	b.await(`document.querySelector("#list-table").getAttribute("aria-rowcount") == ` + fmt.Sprint(files+3))
	// And back, to what was forgotten meanwhile.
	b.await(`(document.querySelector("#list").scrollTop = 0, ` + rowsShown + `.includes("d00/file-0000.dat"))`)

	for _, tc := range []struct{ typed, first, found string }{
		{"file-4321", "d43/file-4321.dat", "1 file."},
		{"d43/file-432", "d43/file-4320.dat", "10 files."},
		{"^d07/", "d07/file-0700.dat", "100 files."},
		{"**/*99.dat", "d00/file-0099.dat", "50 files."},
		{"last", "zz/last", "1 file."},
		{"nothing is called so", "", "0 files."},
	} {
		b.search(tc.typed)
		b.await(fmt.Sprintf(`document.querySelector("#found").textContent === %q`, tc.found))
		if tc.first != "" {
			b.await(rowsShown + fmt.Sprintf(`[0] === %q`, tc.first))
		}
	}
	b.search("[")
	b.await(`document.querySelector("#search[aria-invalid=true]") && document.querySelector("#found").textContent.length > 10`)
	b.search("file-0001")
	b.await(`document.querySelector("#search[aria-invalid=false]")`)
	b.await(rowsShown + `.join() === "d00/file-0001.dat"`)
	must(t, os.Remove(filepath.Join(dir, "d00/file-0001.dat")))
	b.await(rowsShown + `.length === 0`)
}

// search types into the search field, from wherever the focus is.
func (b *browser) search(text string) {
	b.t.Helper()
	eval[bool](b, `document.querySelector("#list").focus(), true`)
	b.do("press /", chromedp.KeyEvent("/"))
	b.await(`document.activeElement.id === "search"`)
	b.do("type", chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent(text))
	b.await(fmt.Sprintf(`document.querySelector("#search").value === %q`, text))
}

// Nobody is kept out: not by colours, a small screen, a keyboard or a reader.
func TestPageIsForEverybody(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), tempDir(t)
	for i := range 60 {
		write(t, dir, fmt.Sprintf("some/deep/directory/with-a-long-name/file-%03d.log", i))
	}
	s := startScout(t, m, "web-01", dir)
	converges(t, m, s)
	b.open(m)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 360} {
			b.looks(scheme, width)
			b.await(rowsShown + `.length > 10`)
			b.await(`document.querySelector("#scouts .state.live")`)
			if found := b.audit(); len(found) > 0 {
				t.Errorf("%s, %d wide: %s", scheme, width, strings.Join(found, "\n\t"))
			}
			if over := eval[int](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s, %d wide: the page is %d pixels too wide", scheme, width, over)
			}
			b.screenshot(fmt.Sprintf("%s-%d", scheme, width))
		}
	}
	// The keyboard reaches all that can be done.
	var reached []string
	eval[bool](b, `document.activeElement.blur(), true`)
	for range 12 {
		b.do("press tab", chromedp.KeyEvent(kb.Tab))
		reached = append(reached, eval[string](b, `document.activeElement.id || document.activeElement.className || document.activeElement.tagName`))
	}
	for _, want := range []string{"skip", "search", "host", "list"} {
		if !slices.Contains(reached, want) {
			t.Errorf("the tab key does not reach %s: %q", want, reached)
		}
	}
}
