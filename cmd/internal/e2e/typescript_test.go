//go:build linux

package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// offline is what npm says when it does not reach its registry.
var offline = regexp.MustCompile(`ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED`)

// A TypeScript program with the types of openapi.json passes the strictest check of
// types, and reads what it should.
func TestTypeScriptClient(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NO %s: no TypeScript client is generated and checked here", strings.ToUpper(tool))
		}
	}
	work := t.TempDir()
	must(t, os.CopyFS(work, os.DirFS(filepath.Join(root, "tools/typescript"))))
	run := func(name string, args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = work
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("npm", "ci", "--no-audit", "--no-fund"); err != nil {
		if offline.MatchString(out) {
			t.Skipf("NO NETWORK: no TypeScript client is generated and checked here: %s", out)
		}
		t.Fatalf("npm ci: %v\n%s", err, out)
	}

	m, dir := startMaster(t), dirOf(t, "a.log", "B.LOG", "bad\xff", "text")
	converges(t, m, startScout(t, m, "web-01", dir))
	for _, step := range [][]string{
		{"node_modules/.bin/openapi-typescript", "http://" + m.HTTP + "/openapi.json", "-o", "openapi.d.ts"},
		{"node_modules/.bin/tsc"},
	} {
		if out, err := run(filepath.Join(work, step[0]), step[1:]...); err != nil {
			t.Fatalf("%s: %v\n%s", step[0], err, out)
		}
	}
	out, err := run("node", "out/client.js", "http://"+m.HTTP)
	const want = "page: web-01 B.LOG, of 2\npage: web-01 a.log, of 2\nunconfirmed: 0\nscout: web-01 live\n" +
		"text: 4 lines\nmistake: 400 /problems/bad-query\nreset: B.LOG a.log bad\u00ff text\n"
	if err != nil || out != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}
