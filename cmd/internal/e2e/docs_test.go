//go:build linux

package e2e

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"scout/cmd/internal/testfleet"
)

// The documents mark each block of shell that a test runs with a comment in
// front of it: <!-- test: NAME -->. Names are unique, and the order of blocks
// in a document does not matter to the tests.
const root = "../../.."

var marked = regexp.MustCompile("<!-- test: ([a-z ]+) -->\n```sh\n((?s:.*?))```\n")

// documents are the documents that have blocks of shell.
var documents = []string{"README.md", "docs/http-api.md", "docs/security.md"}

// requests are the blocks that ask a scoutmaster something, and what each
// paragraph of them prints.
var requests = map[string][]string{
	"questions":   {`4 web-01\n`, `web-02\n`, `\ttotal\n`, `^\[\]\n$`, `^\["reset","README.md",`},
	"list":        {`^\{"files":\[\n\{"filename":"README.md","host":`},
	"select":      {`"filename":"logs/2026/app.log","host":"web-01"`, `(?m)^README.md$`},
	"pages":       {`"filename":"app.log"`},
	"count":       {`^(?i)scout-count: 9\r\n\{\n  "count": 12,\n  "offset": 6\n\}\n$`},
	"conditional": {`^304\n$`},
	"long poll":   {`^304\n$`},
	"watch":       {`(?s)^event: reset\n.*\n\["reset","README.md",`},
	"fresh":       {`^\[\]\n$`},
	"scouts":      {`^\S+\t\S+\tlive\t`},
	"error":       {`"type":"/problems/bad-query"`},
}

// blocks returns the marked blocks of all documents by name.
func blocks(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(root, name))
		must(t, err)
		for _, m := range marked.FindAllStringSubmatch(string(text), -1) {
			if found[m[1]] != "" {
				t.Errorf("%s: a second block is named %q", name, m[1])
			}
			found[m[1]] = m[2]
		}
	}
	return found
}

// Every marked block is run by a test, and every block that uses curl is marked.
func TestDocumentBlocks(t *testing.T) {
	t.Parallel()
	run := slices.Sorted(maps.Keys(requests))
	run = append(run, "quick start", "authority", "tokens", "certificates")
	slices.Sort(run)
	if named := slices.Sorted(maps.Keys(blocks(t))); !slices.Equal(named, run) {
		t.Errorf("the documents have the blocks %q; the tests run %q", named, run)
	}
	for _, name := range documents {
		text, err := os.ReadFile(filepath.Join(root, name))
		must(t, err)
		for _, block := range regexp.MustCompile("(?s)```sh\n.*?```").FindAllString(marked.ReplaceAllString(string(text), ""), -1) {
			if strings.Contains(block, "curl ") {
				t.Errorf("%s: no test runs\n%s", name, block)
			}
		}
	}
}

// Every link in a document leads to a file, and to a heading in it.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob(filepath.Join(root, "*.md"))
	must(t, err)
	more, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	must(t, err)
	for _, page := range append(pages, more...) {
		text, err := os.ReadFile(page)
		must(t, err)
		for _, m := range regexp.MustCompile(`\]\(([^):#]*)(#[^)]+)?\)`).FindAllStringSubmatch(string(text), -1) {
			target := page
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(page), m[1])
			}
			content, err := os.ReadFile(target)
			if err != nil && !isDir(target) {
				t.Errorf("%s: %v", page, err)
			}
			if m[2] != "" && !slices.Contains(anchors(string(content)), m[2]) {
				t.Errorf("%s: %s has no heading %s", page, target, m[2])
			}
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// anchors are the links to the headings of a page.
func anchors(page string) (found []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		found = append(found, "#"+strings.ReplaceAll(strings.ToLower(m[1]), " ", "-"))
	}
	return found
}

// needTools skips a test where a user could not follow the documents either.
func needTools(t *testing.T, tools ...string) {
	t.Helper()
	needRoot(t) // for a network of its own, where the standard ports are free
	for _, tool := range append(tools, "bash", "unshare") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NO %s: the documents are not tested here", strings.ToUpper(tool))
		}
	}
}

// A newcomer pastes the README's quick start into a shell in a fresh clone and
// sees the list, then stops both programs as the README says, and runs the demo.
func TestQuickStartBlock(t *testing.T) {
	t.Parallel()
	needTools(t, "curl", "make")
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(t, err)
	const stop = "kill %1 %2"
	if !bytes.Contains(readme, []byte("`"+stop+"` stops both")) {
		t.Errorf("the README does not say how to stop both programs")
	}
	clone := tempDir(t)
	for _, part := range []string{"Makefile", "go.mod", "go.sum", "client", "cmd", "internal", "proto"} {
		if out, err := exec.Command("cp", "-r", filepath.Join(root, part), clone).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, built := range []string{"cmd/scout/scout", "cmd/scoutmaster/scoutmaster", "cmd/scoutctl/scoutctl"} {
		must(t, os.RemoveAll(filepath.Join(clone, built)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience) // it builds both programs
	defer cancel()
	cmd := shell(ctx, "unshare", "-n", "sh", "-c", "ip link set lo up && exec bash")
	cmd.Dir = clone
	cmd.Env = userEnv()
	cmd.Stdin = strings.NewReader(blocks(t)["quick start"] + stop + "\nwait\nmake demo\n")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), `{"filename":"scout/v1/scout`) != 3 || !strings.Contains(string(out), `- "new.txt" `) {
		t.Errorf("%v\n%s", err, out)
	}
}

// userEnv is the environment of a user who has not configured Scout.
func userEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "SCOUT") || strings.HasPrefix(v, "MONITOR_DIR=")
	})
	return append(env, command("").Env...)
}

// shell is a command that dies with everything that it started when ctx ends.
func shell(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// Every request in the documents gets the answer that the documents promise,
// pasted as it stands, from programs that were started without a flag more than
// they need.
func TestDocumentRequests(t *testing.T) {
	t.Parallel()
	needTools(t, "curl", "jq")
	network, dir := documentedFleet(t)
	all := blocks(t)
	for name, want := range requests {
		paragraphs := strings.Split(strings.TrimSpace(all[name]), "\n\n")
		if len(paragraphs) != len(want) {
			t.Errorf("%s: %d paragraphs, not %d", name, len(paragraphs), len(want))
			continue
		}
		for i, paragraph := range paragraphs {
			out, complaints := network.paste(t, dir, paragraph)
			if complaints != "" || !regexp.MustCompile(want[i]).MatchString(out) {
				t.Errorf("%s\n%s\n%s", paragraph, complaints, out)
			}
		}
	}
}

// network is a network namespace of a process.
type network struct{ pid int }

func (n network) enter(args ...string) []string {
	return append([]string{"-n", "-t", strconv.Itoa(n.pid), "--"}, args...)
}

// paste runs a script in the network, and returns what it prints and what goes
// wrong in it. A request for an endless answer may end at its own time limit.
func (n network) paste(t *testing.T, dir, script string) (out, complaints string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const timedOut = 28 // curl's exit code
	script = fmt.Sprintf("trap 's=$?; test $s = %d || echo \"exit code $s: $BASH_COMMAND\" >&2' ERR\n", timedOut) + script
	cmd := shell(ctx, "nsenter", n.enter("bash", "-o", "pipefail", "-c", script)...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != timedOut {
		fmt.Fprintln(&stderr, err)
	}
	return stdout.String(), stderr.String()
}

// documentedFleet starts a scoutmaster without arguments and three scouts with
// the files that the documents ask for. It returns the directory of the scout
// that has this machine's name.
func documentedFleet(t *testing.T) (n network, dir string) {
	t.Helper()
	n, _ = startAlone(t)
	for _, args := range [][]string{{"-host", "web-01"}, {"-host", "web-02"}, nil} {
		dir = tempDir(t)
		for _, name := range []string{"README.md", "app.log", "logs/2026/app.log", "logs/2026/two words.log"} {
			write(t, dir, name)
		}
		n.startScout(t, dir, args...)
	}
	return n, dir
}

// startAlone starts a scoutmaster without arguments in a network of its own, where
// the standard ports are free.
func startAlone(t *testing.T) (n network, serving testfleet.Event) {
	t.Helper()
	p := launch(t, command("unshare", "-n", "sh", "-c", `ip link set lo up && exec "$0"`, programs.Scoutmaster))
	serving = await(t, p, "serving")
	return network{p.Process.Pid}, serving
}

// startScout starts a scout with two variables and waits until its files are listed.
func (n network) startScout(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := command("nsenter", n.enter(append([]string{programs.Scout}, args...)...)...)
	cmd.Env = append(cmd.Env, "MONITOR_DIR="+dir, "SCOUT_MASTER_ADDRESS=localhost:3000")
	await(t, launch(t, cmd), "snapshot sent")
}

// The way to a scoutmaster that strangers cannot read from works as
// docs/security.md shows it, from the authority to the list: with tokens, and
// with certificates.
func TestSecurityHowTo(t *testing.T) {
	t.Parallel()
	needTools(t, "curl", "openssl")
	all := blocks(t)
	for _, how := range []string{"tokens", "certificates"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			script := "set -e\nip link set lo up\ntrap 'kill $(jobs -p); wait' EXIT\n" + all["authority"]
			for line := range strings.Lines(all[how]) {
				script += unattended(line)
			}
			dir := dirOf(t, "app.log")
			ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
			defer cancel()
			cmd := shell(ctx, "unshare", "-n", "bash", "-c", script)
			cmd.Env = append(userEnv(), fmt.Sprintf("PATH=%s:%s:%s", filepath.Dir(programs.Scout), filepath.Dir(programs.Scoutmaster), os.Getenv("PATH")))
			cmd.Dir = dir
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), `{"filename":"app.log"`) {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// unattended is a line of a document for a shell that does not wait, as people
// do, until a program has started.
func unattended(line string) string {
	switch {
	case strings.HasPrefix(line, "scoutmaster "):
		return line + "until curl -sk https://localhost:3001/healthz; do sleep 0.1; done\n"
	case strings.HasPrefix(line, "curl "):
		return "until " + strings.TrimSpace(line) + " | tee list | grep -q filename; do sleep 0.1; done; cat list\n"
	}
	return line
}

// docs/reliability.md names tests that exist, in the packages that it says.
func TestReliabilityPage(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/reliability.md"))
	must(t, err)
	named := regexp.MustCompile("\\b(e2e|watch|stream|dial|access|master|scoutmaster|web|jetstream|fleet) (`Test[^;|(]*)").FindAllSubmatch(page, -1)
	if len(named) < 40 {
		t.Fatalf("the page names the tests of %d cells", len(named))
	}
	where := map[string]string{
		"e2e": ".", "watch": "../../../internal/watch", "stream": "../../../internal/stream", "dial": "../../../internal/dial", "access": "../../../internal/access",
		"master": "../../../internal/master", "web": "../../../internal/web", "scoutmaster": "../../scoutmaster",
		"jetstream": "../../../internal/jetstream", "fleet": "../../../internal/fleet",
	}
	for _, cell := range named {
		for _, name := range regexp.MustCompile("Test[A-Za-z]+").FindAllString(string(cell[2]), -1) {
			out, err := exec.Command("grep", "-rh", "^func "+name+"(", where[string(cell[1])]).Output()
			if err != nil || !strings.HasPrefix(string(out), "func "+name) {
				t.Errorf("there is no %s in %s", name, cell[1])
			}
		}
	}
}

// picture makes the README's picture of the page again.
var picture = flag.String("picture", "", "write the README's picture of the page to this file, and test nothing")

// TestPicture shows the page of a small fleet to a browser. Each scout sees a
// file system of its own, so that the directories have ordinary names.
func TestPicture(t *testing.T) {
	if *picture == "" {
		t.Skip("-picture FILE makes the README's picture of the page")
	}
	needTools(t, "mount")
	b, m := openBrowser(t), startMaster(t)
	for _, s := range []struct{ host, dir, script string }{
		{"web-01", "/srv/data", `mkdir -p logs/2026 assets; touch assets/{app,admin,login}.{css,js} logs/2026/{01..11}.log.gz logs/2026/{access,error}.log`},
		{"web-02", "/srv/data", `mkdir -p logs/2026 assets; touch assets/{app,admin,login}.{css,js} logs/2026/{01..11}.log.gz logs/2026/{access,error}.log`},
		{"web-03", "/srv/data", `mkdir -p logs/2026 assets; touch assets/{app,admin,login}.{css,js} logs/2026/{01..11}.log.gz logs/2026/{access,error}.log`},
		{"build-01", "/srv/build", `mkdir -p cache/{0..9}{0..9}; touch cache/{0..9}{0..9}/{object,meta}-{0..9}{0..9}`},
		{"db-01", "/srv/dump", `touch orders-2026-11-{01..27}.sql.zst users-2026-11-{01..27}.sql.zst`},
		{"mail-01", "/srv/queue", `mkdir -p new cur; touch cur/{100..140}.eml; (sleep 3; rm -r /srv/queue) &`},
	} {
		churn := ""
		if s.host == "build-01" {
			churn = `(cd cache; i=0; while kill -0 $$; do i=$((i+1)); touch $((RANDOM%10))$((RANDOM%10))/new-$i; test $((i%5)) != 0 || rm -f */new-$((i-RANDOM%40)); sleep 0.0$((RANDOM%9+1)); done) 2>/dev/null &`
		}
		script := fmt.Sprintf(`set -e; mount -t tmpfs none /srv; mkdir -p %s; cd %s; %s; %s exec "$0" "$@"`, s.dir, s.dir, s.script, churn)
		cmd := command("unshare", "-m", "bash", "-c", strings.ReplaceAll(script, "&;", "&"), programs.Scout, "-dir", s.dir, "-host", s.host, "-master", m.GRPC)
		cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
		p, err := testfleet.Launch(cmd)
		must(t, err)
		t.Cleanup(func() { kill(t, p) })
		await(t, p, "snapshot sent")
	}
	b.looks("light", 1200)
	b.do("make room for all of it", chromedp.EmulateViewport(1200, 1290))
	b.open(m)
	b.await(`document.querySelector("#scouts .state.unavailable")`)
	time.Sleep(30 * time.Second) // for the plots
	b.screenshotTo(*picture)
}
