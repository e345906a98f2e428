//go:build linux

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// rowsShown are the filenames in the document, as a person reads them.
const rowsShown = `[...document.querySelectorAll("#rows tr[aria-rowindex] td:first-child")].map((td) => td.textContent)`

// The page shows the scouts and the files, and follows both.
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

// The page asks for a token when it needs one, once.
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
