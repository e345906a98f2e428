//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// Every question that the README asks with curl is answered, pasted as it
// stands, by programs that were started without a flag more than they need.
func TestReadmeExamples(t *testing.T) {
	t.Parallel()
	readme := readmeWith(t, "curl", "jq")
	// In a network of its own the ports are free.
	m := launch(t, command("unshare", "-n", "sh", "-c", `ip link set lo up && exec "$0"`, programs.Scoutmaster))
	await(t, m, "serving")
	inside := func(args ...string) *exec.Cmd {
		return command("nsenter", append([]string{"-n", "-t", strconv.Itoa(m.Process.Pid), "--"}, args...)...)
	}
	dir := "" // the last one: that of the scout that goes by this machine's name
	for _, args := range [][]string{{"-host", "web-01"}, {"-host", "web-02"}, nil} {
		dir = tempDir(t)
		for _, name := range []string{"README.md", "app.log", "logs/2026/app.log", "logs/2026/two words.log", "etc/hosts"} {
			write(t, dir, name)
		}
		cmd := inside(append([]string{programs.Scout}, args...)...)
		cmd.Env = append(cmd.Env, "MONITOR_DIR="+dir, "SCOUT_MASTER_ADDRESS=localhost:3000")
		await(t, launch(t, cmd), "snapshot sent")
	}
	examples := curls(readme)
	if len(examples) < 5 {
		t.Fatalf("the README has %d examples", len(examples))
	}
	for _, example := range examples {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		cmd := exec.CommandContext(ctx, "nsenter", "-n", "-t", strconv.Itoa(m.Process.Pid), "--", "bash", "-o", "pipefail", "-c", example)
		cmd.Dir = dir
		var out, complaints bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &complaints
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		err := cmd.Run()
		if endless(example) {
			err = nil // it stops in the middle
		}
		if err != nil || out.Len() == 0 || complaints.Len() > 0 {
			t.Errorf("%s\n\t%v: %d bytes; %s", example, err, out.Len(), complaints.String())
		}
		cancel()
	}
}

// endless reports whether an example asks for what has no end, and stops after
// some time.
func endless(example string) bool { return strings.Contains(example, "curl -sN -m") }

// curls returns the commands in a README's blocks of shell that ask with curl,
// each with the lines that continue it, but for those that need certificates.
func curls(readme string) (examples []string) {
	shell, open := false, ""
	for lines := bufio.NewScanner(strings.NewReader(readme)); lines.Scan(); {
		line := lines.Text()
		switch {
		case strings.HasPrefix(line, "```"):
			shell = line == "```sh"
		case open != "":
			open += "\n" + line
		case shell && strings.HasPrefix(line, "curl ") && !strings.Contains(line, "https:"):
			open = line
		}
		if open != "" && !strings.HasSuffix(line, `\`) {
			examples, open = append(examples, open), ""
		}
	}
	return examples
}

// readmeWith is the README, for a user who has the tools that it asks for.
func readmeWith(t *testing.T, tools ...string) string {
	t.Helper()
	needRoot(t) // for a network of one's own
	for _, tool := range append(tools, "bash", "unshare") {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("NO %s: the README's examples are not tested here", strings.ToUpper(tool))
		}
	}
	readme, err := os.ReadFile("../../../README.md")
	must(t, err)
	return string(readme)
}

// The README's way to a scoutmaster that strangers cannot read from is walked as
// it stands, from the authority to the list.
func TestReadmeBeyondOneMachine(t *testing.T) {
	t.Parallel()
	readme := readmeWith(t, "curl", "openssl")
	_, section, _ := strings.Cut(readme, "## Beyond one machine")
	section, _, _ = strings.Cut(section, "\n## ")
	script := "set -e\nip link set lo up\ntrap 'kill $(jobs -p)' EXIT\n"
	for i, block := range blocks(section) {
		if i == 2 { // the next scoutmaster takes the ports of this one
			script += "kill %1 %2; wait\n"
		}
		for line := range strings.Lines(block) {
			script += unattended(line)
		}
	}
	dir := tempDir(t)
	write(t, dir, "app.log")
	cmd := command("unshare", "-n", "bash", "-c", script)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"), "HOME="+dir)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if listed := strings.Count(string(out), `{"filename":"app.log"`); err != nil || listed != 2 {
		t.Errorf("listed %d times; %v\n%s", listed, err, out)
	}
}

// unattended is a line of the README for a shell that does not wait, as people
// do, until programs have started, and has no other window for the last of them.
func unattended(line string) string {
	const list = "for i in $(seq 300); do %s | tee list | grep -q filename && break; sleep 0.1; done; cat list\n"
	switch command := strings.TrimSpace(line); {
	case strings.HasPrefix(line, "PATH="):
		return fmt.Sprintf("PATH=%s:%s:$PATH\n", filepath.Dir(programs.Scout), filepath.Dir(programs.Scoutmaster))
	case strings.HasPrefix(line, "scoutmaster "):
		return line + "until curl -sk https://localhost:3001/healthz; do sleep 0.1; done\n"
	case strings.HasPrefix(line, "scout ") && !strings.HasSuffix(command, "&"):
		return command + " &\n" + fmt.Sprintf(list, "curl -s --cacert ca.pem https://localhost:3001/files")
	case strings.HasPrefix(line, "curl "):
		return fmt.Sprintf(list, command)
	}
	return line
}

// blocks returns a README's blocks of shell.
func blocks(readme string) (found []string) {
	for {
		_, rest, ok := strings.Cut(readme, "```sh\n")
		if !ok {
			return found
		}
		block, behind, _ := strings.Cut(rest, "```")
		found, readme = append(found, block), behind
	}
}
