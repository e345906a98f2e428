//go:build linux

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	browserdomain "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
)

// rowsShown are the filenames in the document, as a person reads them.
const rowsShown = `[...document.querySelectorAll("#rows tr[aria-rowindex] td:first-child")].map((td) => td.textContent)`

// The page shows the scouts and the files, and follows both.
func TestPage(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), dirOf(t, "app.log", "logs/2026/a.log")
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
	b.await(rowsShown + `.length === 0 && document.querySelectorAll("#scouts tr").length === 1`)
	b.await(`document.querySelector("#scouts .state.gone")`)
	if row := b.text("#scouts tr"); !strings.Contains(row, "stream broken") || !strings.Contains(row, "web-01") {
		t.Errorf("the scout that was killed is shown as %q", row)
	}
	if found := complained(); len(found) > 0 {
		t.Errorf("the browser complains: %q", found)
	}
}

// A master that comes back finds its page waiting.
func TestPageOutlivesTheMaster(t *testing.T) {
	b := openBrowser(t)
	grpcPort, httpPort := freePort(t), freePort(t)
	m, s := startPairIn(t, dirOf(t, "one"), "-grpc", grpcPort, "-http", httpPort)
	dir := s.dir
	b.open(m)
	b.await(rowsShown + `.join() === "one"`)
	kill(t, m.Process)
	b.await(`document.querySelector("#link.lost") && document.querySelector("#lost").innerText.startsWith("Cannot connect to the scoutmaster")`)
	startMaster(t, "-grpc", grpcPort, "-http", httpPort)
	write(t, dir, "two")
	b.await(`document.querySelector("#link.live") && document.querySelector("#lost").hidden`)
	b.await(rowsShown + `.join() === "one,two"`)
}

// The page asks for a token when it needs one, once.
func TestPageAsksForTheToken(t *testing.T) {
	b := openBrowser(t)
	const token = "0123456789abcdef0123456789abcdef"
	m, dir := startMaster(t, "-http-token-file", secretFile(t, "page:"+token)), dirOf(t, "one")
	startScout(t, m, "h", dir)
	b.do("open the page", chromedp.Navigate("http://"+m.HTTP+"/"))
	b.await(`!document.querySelector("#door").hidden`)
	if shown := eval[[]string](b, rowsShown); len(shown) > 0 {
		t.Errorf("%q is shown to a stranger", shown)
	}
	b.logIn("wrong")
	b.await(`document.querySelector("#door").innerText.includes("does not accept this token")`)
	b.logIn(token)
	b.await(`document.querySelector("#link.live") && document.querySelector("#door").hidden`)
	b.await(rowsShown + `.join() === "one"`)
}

// A name is text, whatever it says.
func TestPageShowsNamesAsText(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), dirOf(t, `<img src=x onerror=alert(1)>`, "new\nline", "bidi\u202egpj.exe", "bad\xff", `"'&amp;`)
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

// Every way to search finds what it says, with the number of files. The address of
// the page has the search, so that it can be shared and kept.
func TestPageSearch(t *testing.T) {
	b := openBrowser(t)
	m, dir := startMaster(t), tempDir(t)
	for i := range 1000 {
		write(t, dir, fmt.Sprintf("d%02d/file-%04d.dat", i/100, i))
	}
	write(t, dir, "d07/File-0700.DAT")
	write(t, dir, "a[b]{c}*")
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	b.open(m)
	b.await(found("1,002 files."))
	for _, tc := range []struct{ typed, first, found string }{
		{"file-0432", "d04/file-0432.dat", "1 file matches."},
		{"d04/file-043", "d04/file-0430.dat", "10 files match."},
		{"^d07/", "d07/File-0700.DAT", "101 files match."},
		{"**/*99.dat", "d00/file-0099.dat", "10 files match."},
		{"b]", "a[b]{c}*", "1 file matches."},
		{`*\[b\]*`, "a[b]{c}*", "1 file matches."},
		{dir + "/d04/file-0432.dat", "d04/file-0432.dat", "1 file matches."},
		{dir + "/d04/", "d04/file-0400.dat", "100 files match."},
		{dir + "/*/*-0001.*", "d00/file-0001.dat", "1 file matches."},
		{dir, "a[b]{c}*", "1,002 files match."},
		{"/no/scout/is/here", "", "No scout watches a directory that can hold /no/scout/is/here."},
		{"nothing is called so", "", "0 files match."},
	} {
		b.search(tc.typed)
		b.await(found(tc.found))
		if tc.first != "" {
			b.await(rowsShown + fmt.Sprintf(`[0] === %q`, tc.first))
		} else {
			b.await(rowsShown + `.length === 0`)
		}
	}
	b.search("FILE-0700")
	b.await(found("0 files match."))
	eval[bool](b, `document.querySelector("#ignore-case").click(), true`)
	b.await(found("2 files match, upper and lower case alike."))

	// A pattern that is none says so, and shows nothing.
	b.search("[")
	b.await(`document.querySelector("#search[aria-invalid=true]") && /is not a glob pattern/.test(document.querySelector("#found").textContent)`)
	b.await(rowsShown + `.length === 0`)
	b.search("file-0001")
	b.await(`document.querySelector("#search[aria-invalid=false]")`)
	b.await(rowsShown + `.join() === "d00/file-0001.dat"`)

	// Enter goes to the list, and the page can be opened again as it is.
	b.do("press Enter", chromedp.KeyEvent(kb.Enter))
	b.await(`document.activeElement.id === "list"`)
	if search := eval[string](b, "location.search"); search != "?name=file-0001&ignore_case=true" {
		t.Errorf("the address of the page has %q", search)
	}
	b.do("reload", chromedp.Reload())
	b.await(rowsShown + `.join() === "d00/file-0001.dat" && document.querySelector("#ignore-case").checked`)
	must(t, os.Remove(filepath.Join(dir, "d00/file-0001.dat")))
	b.await(rowsShown + `.length === 0`)

	// A host is a click away, and the way back too.
	b.await(`document.querySelector("#scouts button.plain")`)
	eval[bool](b, `document.querySelector("#scouts button.plain").click(), true`)
	b.await(`location.search === "?name=file-0001&host=h&ignore_case=true"`)
	eval[bool](b, `history.back(), true`)
	b.await(`location.search === "?name=file-0001&ignore_case=true" && document.querySelector("#host").value === ""`)
}

// found is a condition on what the page says of the number of files.
func found(want string) string {
	return fmt.Sprintf(`document.querySelector("#found").textContent === %q`, want)
}

// However long the list, the document stays small. All of the list is a step away,
// and follows changes wherever it is looked at.
func TestPageOfManyFiles(t *testing.T) {
	b, m := openBrowser(t), startMaster(t)
	const files = 400_000 // more than a browser can scroll through row by row
	var names []string
	for i := range files {
		names = append(names, fmt.Sprintf("%c/%06d.dat", 'a'+i*26/files, i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	many := &testfleet.PlayedScouts{Masters: []string{m.GRPC}, Directories: []*testfleet.Directory{testfleet.NewDirectory(filestest.Set(names...))}}
	go many.Run(ctx)
	dir := dirOf(t, "zz/last")
	startScout(t, m, "h", dir)
	b.open(m)
	b.await(found("400,001 files.") + "&&" + rowsShown + `[0] === "a/000000.dat"`)
	shown := rowsShown + `.slice(12)` // 12 rows are above those in view

	b.do("go to the end", chromedp.Focus(chromedp.CSS("#list")), chromedp.KeyEvent(kb.End))
	b.await(rowsShown + `.at(-1) === "zz/last"`)
	b.await(`document.querySelector("#chosen-path").textContent === "` + dir + `/zz/last"`)
	if n := eval[int](b, `document.querySelectorAll("#rows tr").length`); n > 100 {
		t.Errorf("%d rows are in the document", n)
	}
	if n := eval[int](b, `+document.querySelector("#list-table").getAttribute("aria-rowcount")`); n != files+2 {
		t.Errorf("the table has %d rows, with the title", n)
	}
	write(t, dir, "zz/later")
	b.await(found("400,002 files.") + "&&" + rowsShown + `.includes("zz/later")`)

	// To a letter, in the list and in its field, and from there upwards and downwards.
	b.do("type a letter", chromedp.KeyEvent("m"))
	b.await(shown + `[0] === "m/184616.dat"`)
	b.do("go up", chromedp.KeyEvent(kb.ArrowUp))
	b.await(`document.querySelector("#chosen-path").textContent.endsWith("/l/184615.dat")`)
	for range 100 {
		b.do("go up", chromedp.KeyEvent(kb.PageUp))
	}
	b.await(inSequence + "&&" + rowsShown + `[0] < "l/1831"`)
	for range 200 {
		b.do("go down", chromedp.KeyEvent(kb.PageDown))
	}
	b.await(inSequence + "&&" + rowsShown + `[0] > "m/186"`)
	eval[bool](b, `document.querySelector("#goto").value = "", document.querySelector("#goto").focus(), true`)
	b.do("type", chromedp.KeyEvent("t/3"))
	b.await(shown + `[0] === "t/300000.dat"`)

	// With the scroll bar, to the middle and back to the beginning.
	b.await(`(document.querySelector("#list").scrollTop = document.querySelector("#list").scrollHeight / 2, ` + shown + `[0]?.startsWith("n/"))`)
	b.await(`(document.querySelector("#list").scrollTop = 0, ` + rowsShown + `[0] === "a/000000.dat")`)
	b.search(".dat")
	b.await(found("400,000 files match."))
}

// inSequence is the condition that the numbers in the names in the document follow
// each other.
const inSequence = `((n) => n.length > 20 && n.every((x, i) => i === 0 || x === n[i - 1] + 1))(` + rowsShown + `.map((name) => +name.slice(2, 8)))`

// The page of any scoutmaster of a fleet shows all of them, and where each scout is.
func TestPageOfAFleet(t *testing.T) {
	b, f := openBrowser(t), startFleet(t, 1, 2)
	dir := dirOf(t, "one")
	s := f.startScout("web-01", dir)
	home := f.home(s)
	b.open(f.masters[1-home])
	b.await(rowsShown + `.join() === "one"`)
	const masters = `[...document.querySelectorAll("#masters tr")].map((tr) => tr.cells[0].innerText + " " + tr.cells[2].innerText).sort().join()`
	b.await(masters + ` === "live 0,live 1"`)
	row := fmt.Sprintf(`document.querySelector("#scouts tr .master")?.innerText === document.querySelectorAll("#masters tr")[%d].cells[1].innerText`, home)
	b.await(row)
	b.screenshot("fleet")

	f.kill(home)
	write(t, dir, "two")
	b.await(masters + ` === "gone 0,live 1" && !(` + row + `)`)
	b.await(rowsShown + `.join() === "one,two" && document.querySelector("#link.live")`)
}

// What is selected can be copied and saved, with and without a token.
func TestPageTakesTheSelection(t *testing.T) {
	for _, token := range []string{"", "0123456789abcdef0123456789abcdef"} {
		var args []string
		if token != "" {
			args = []string{"-http-token-file", secretFile(t, "page:"+token)}
		}
		b := openBrowser(t)
		m, dir := startMaster(t, args...), dirOf(t, "one.log", "two.log", "three")
		startScout(t, m, "h", dir)
		b.do("open the page", chromedp.Navigate("http://"+m.HTTP+"/?name=.log"))
		if token != "" {
			b.await(`!document.querySelector("#door").hidden`)
			b.logIn(token)
		}
		b.await(rowsShown + `.join() === "one.log,two.log"`)
		eval[bool](b, `Object.defineProperty(navigator, "clipboard", {value: {writeText: async (text) => { window.copied = text }}}), document.querySelector("#copy").click(), true`)
		b.await(fmt.Sprintf(`window.copied === %q && document.querySelector("#outcome").textContent === "Copied 2 paths."`, dir+"/one.log\n"+dir+"/two.log\n"))
		eval[bool](b, `document.querySelectorAll("#rows tr[aria-rowindex]")[1].click(), document.querySelector("#chosen-copy").click(), true`)
		b.await(fmt.Sprintf(`window.copied === %q`, dir+"/two.log"))

		saved := b.saveDownloads()
		for file, want := range map[string]string{
			"files.txt":    dir + "/one.log\n" + dir + "/two.log\n",
			"files.ndjson": fmt.Sprintf(`{"filename":"one.log","host":"h","directory":%q}`+"\n"+`{"filename":"two.log","host":"h","directory":%[1]q}`+"\n", dir),
		} {
			eval[bool](b, fmt.Sprintf(`document.querySelector("a[download='%s']").click(), true`, file))
			within(t, patience, func() error {
				if got, err := os.ReadFile(filepath.Join(saved, file)); err != nil || string(got) != want {
					return errors.Join(err, fmt.Errorf("%s has %q", file, got))
				}
				return nil
			})
		}
	}
}

// Below a path of a proxy, configured as docs/operations.md says, the page, its
// streams, its downloads and its links work, also with a token. What the proxy itself
// answers is not taken for an answer of the scoutmaster.
func TestPageBelowAPath(t *testing.T) {
	b := openBrowser(t)
	const token = "0123456789abcdef0123456789abcdef"
	m, dir := startMaster(t, "-http-token-file", secretFile(t, "page:"+token)), tempDir(t)
	for i := range 1000 {
		write(t, dir, fmt.Sprintf("%c/%03d", 'a'+i/100, i))
	}
	startScout(t, m, "h", dir)

	guide, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	must(t, err)
	examples := regexp.MustCompile("(?s)```nginx\n(.*?)```").FindAllStringSubmatch(string(guide), -1)
	if len(examples) != 1 || !strings.Contains(examples[0][1], "http://localhost:3001/;") {
		t.Fatalf("docs/operations.md has %q for nginx", examples)
	}
	documented := strings.ReplaceAll(examples[0][1], "localhost:3001", m.HTTP)
	requests := filepath.Join(tempDir(t), "requests")
	proxy := startNginx(t, "access_log "+requests+"; "+documented)

	b.do("open the page", chromedp.Navigate("http://"+proxy+"/scout?name=^"))
	b.await(`!document.querySelector("#door").hidden && location.pathname === "/scout/"`)
	b.logIn(token)
	b.await(found("1,000 files match.") + "&&" + rowsShown + `[0] === "a/000"`)
	b.await(`document.querySelector("#scouts .state.live")`)
	for _, href := range eval[[]string](b, `[...document.querySelectorAll("a[href]:not(.skip), link, script, img")].map((e) => e.href || e.src)`) {
		if !strings.HasPrefix(href, "http://"+proxy+"/scout/") {
			t.Errorf("the page links to %s", href)
		}
	}

	// Changes come at once: nothing on the way waits for more.
	write(t, dir, "a/0000")
	b.await(found("1,001 files match.") + "&&" + rowsShown + `.includes("a/0000")`)
	must(t, os.Remove(filepath.Join(dir, "a/0000")))
	b.await(found("1,000 files match.") + "&& !" + rowsShown + `.includes("a/0000")`)

	// To the end, and to a letter.
	b.do("go to the end", chromedp.Focus(chromedp.CSS("#list")), chromedp.KeyEvent(kb.End))
	b.await(rowsShown + `.at(-1) === "j/999"`)
	b.do("type a letter", chromedp.KeyEvent("e"))
	b.await(rowsShown + `.slice(12)[0] === "e/400"`)

	// Copying, downloading, and a link, which all need the token.
	b.search("^a/00")
	b.await(found("10 files match."))
	eval[bool](b, `Object.defineProperty(navigator, "clipboard", {value: {writeText: async (text) => { window.copied = text }}}), document.querySelector("#copy").click(), true`)
	b.await(fmt.Sprintf(`window.copied?.startsWith(%q)`, dir+"/a/000\n"))
	saved := b.saveDownloads()
	eval[bool](b, `document.querySelector("a[download='files.txt']").click(), true`)
	within(t, patience, func() error {
		got, err := os.ReadFile(filepath.Join(saved, "files.txt"))
		if strings.Count(string(got), "\n") != 10 {
			return errors.Join(err, fmt.Errorf("files.txt has %q", got))
		}
		return nil
	})
	eval[bool](b, `URL.createObjectURL = (blob) => { blob.text().then((text) => { window.followed = text }); return "about:blank"; }, document.querySelector("footer a[href=scouts]").click(), true`)
	b.await(`JSON.parse(window.followed ?? "{}").scouts?.[0].host === "h"`)

	kill(t, m.Process)
	b.await(`document.querySelector("#lost").innerText.includes("not the scoutmaster's: 502")`)
	log, err := os.ReadFile(requests)
	must(t, err)
	for line := range strings.Lines(string(log)) {
		if !regexp.MustCompile(`"GET /scout[/?]`).MatchString(line) {
			t.Errorf("the page asks for %s", line)
		}
	}
}

// The plots have a time axis, and say each value that they show.
func TestPagePlots(t *testing.T) {
	b := openBrowser(t)
	m, s := startPairIn(t, dirOf(t, "one"))
	dir := s.dir
	b.open(m)
	said := func(end string) string {
		return fmt.Sprintf(`document.querySelector("#files-plot .plot").getAttribute("aria-valuetext").endsWith(%q)`, end)
	}
	b.await(said("now 1"))
	write(t, dir, "two")
	b.await(said("between 1 and 2, now 2"))
	for key, want := range map[string]string{kb.Home: "1 at", kb.End: "2 at"} {
		b.do("go to a value", chromedp.Focus(chromedp.CSS("#files-plot .plot")), chromedp.KeyEvent(key))
		b.await(fmt.Sprintf(`/^%s \d\d:\d\d:\d\d$/.test(document.querySelector("#files-plot .tip").innerText)`, want))
	}
	const width = `((of) => (of.at(-1) - of[0] + 86400) % 86400)([...document.querySelectorAll("#files-plot .axis span")]
		.map((e) => e.textContent.split(":").map(Number)).map(([h, m, s = 0]) => (h * 60 + m) * 60 + s))`
	for _, seconds := range []int{600, 3600, 60} {
		eval[bool](b, fmt.Sprintf(`document.querySelector("[data-seconds='%d']").click(), true`, seconds))
		b.await(fmt.Sprintf(`%s === %d && document.querySelector("[data-seconds='%[2]d'][aria-pressed=true]")`, width, seconds))
	}
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
			// A name can be read whole.
			eval[bool](b, `document.querySelector("#rows tr[aria-rowindex]").click(), true`)
			b.await(fmt.Sprintf(`document.querySelector("#chosen-path").innerText === %q`, dir+"/some/deep/directory/with-a-long-name/file-000.log"))
			if cut := eval[bool](b, `((e) => e.scrollWidth > e.clientWidth)(document.querySelector("#chosen p"))`); cut {
				t.Errorf("%s, %d wide: the path of the chosen file is cut off", scheme, width)
			}
			if found := b.audit(); len(found) > 0 {
				t.Errorf("%s, %d wide, with a file chosen: %s", scheme, width, strings.Join(found, "\n\t"))
			}
			b.screenshot(fmt.Sprintf("%s-%d", scheme, width))
		}
	}
	// On a phone the list comes first, and the plots on request.
	b.await(`document.querySelector("#list").getBoundingClientRect().top + scrollY < 0.6 * innerHeight && !document.querySelector("#files-plot").checkVisibility()`)
	eval[bool](b, `document.querySelector("#plots").click(), true`)
	b.await(`document.querySelector("#files-plot").checkVisibility() && document.querySelector("#plots[aria-expanded=true]")`)
	if found := b.audit(); len(found) > 0 {
		t.Errorf("a phone with plots: %s", strings.Join(found, "\n\t"))
	}
	b.screenshot("phone-plots")
	// The keyboard reaches all that can be done.
	var reached []string
	eval[bool](b, `document.activeElement.blur(), true`)
	for range 30 {
		b.do("press tab", chromedp.KeyEvent(kb.Tab))
		reached = append(reached, eval[string](b, `document.activeElement.id || document.activeElement.className || document.activeElement.tagName`))
	}
	for _, want := range []string{"skip", "plots", "plot", "search", "host", "ignore-case", "goto", "to-end", "copy", "list", "chosen-copy", "state live"} {
		if !slices.Contains(reached, want) {
			t.Errorf("the tab key does not reach %s: %q", want, reached)
		}
	}
}

// browser is a page of a real browser, as a person has it before them.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// openBrowser starts a browser, or skips the test where there is none.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	path := browserPath()
	if path == "" {
		t.Skip("NO BROWSER: the page is not tested here; install Chromium to test it")
	}
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	// The browser lives as long as the context that it is first used with.
	must(t, chromedp.Do(ctx, chromedp.Navigate("about:blank")))
	return &browser{t, ctx}
}

func browserPath() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (b *browser) do(what string, steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// await waits until a condition of the page holds.
func (b *browser) await(condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+condition+")", chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		b.t.Fatalf("%s: %v\n%s", condition, err, b.text("body"))
	}
}

// eval returns what an expression is worth on the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%.200s: %v", expression, err)
	}
	return v
}

func (b *browser) text(selector string) string {
	return eval[string](b, fmt.Sprintf("document.querySelector(%q).innerText", selector))
}

// open shows the page of a master.
func (b *browser) open(m *master) {
	b.t.Helper()
	b.do("open the page", chromedp.Navigate("http://"+m.HTTP+"/"))
	b.await(`document.querySelector("#link.live")`)
}

// saveDownloads lets the browser save files, and returns the directory.
func (b *browser) saveDownloads() string {
	b.t.Helper()
	dir := b.t.TempDir()
	b.do("save downloads", chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, browserdomain.SetDownloadBehavior, browserdomain.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: dir})
		return err
	}))
	return dir
}

// logIn types a token where the page asks for one.
func (b *browser) logIn(token string) {
	b.t.Helper()
	b.do("type the token", chromedp.Focus(chromedp.CSS("#token")), chromedp.KeyEvent(token), chromedp.KeyEvent(kb.Enter))
}

// looks makes the page dark or light, and as wide as a screen or a phone.
func (b *browser) looks(scheme string, width int64) {
	b.t.Helper()
	b.do("emulate "+scheme, chromedp.EmulateViewport(width, 900), chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	}))
}

// audit lists what keeps people out, by the rules of WCAG as axe knows them.
func (b *browser) audit() []string {
	b.t.Helper()
	if !eval[bool](b, "'axe' in window") {
		axe, err := os.ReadFile("testdata/axe.min.js")
		must(b.t, err)
		eval[bool](b, string(axe)+"; true")
	}
	return eval[[]string](b, `axe.run().then((r) => r.violations.map((v) => v.id + ": " + v.help + ": " + v.nodes.map((n) => n.html).join(" ").slice(0, 300)))`)
}

// screenshot keeps a picture when asked to, for people to look at.
func (b *browser) screenshot(name string) {
	b.t.Helper()
	dir := os.Getenv("SCOUT_E2E_SCREENSHOTS")
	if dir == "" {
		return
	}
	b.screenshotTo(fmt.Sprintf("%s/%s.png", dir, name))
}

func (b *browser) screenshotTo(path string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	must(b.t, err)
	must(b.t, os.WriteFile(path, png, 0o644))
}

// complaints returns what the browser holds against the page: errors of its
// scripts and breaches of its policy.
func complaints(ctx context.Context) (stop func() []string) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan []string)
	go func() {
		var found []string
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				break
			}
			if m.Type == chromedp.ConsoleException || m.Type == chromedp.ConsoleError {
				found = append(found, string(m.Type)+": "+strings.TrimSpace(m.Text))
			}
		}
		done <- found
	}()
	return func() []string {
		cancel()
		return <-done
	}
}
