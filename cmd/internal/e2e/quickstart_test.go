//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A new user starts both programs with as little as possible and sees every
// entry that is not a directory come and go, whatever it is.
func TestQuickStart(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "there before")
	m := startMaster(t)
	cmd := command(programs.Scout)
	cmd.Env = append(cmd.Env, "MONITOR_DIR="+dir, "SCOUT_MASTER_ADDRESS="+m.GRPC)
	host, err := os.Hostname()
	must(t, err)
	s := launchScout(t, cmd, host, dir)
	converges(t, m, s)

	at := func(name string) string { return filepath.Join(dir, name) }
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"touch", func() error { return os.WriteFile(at("new"), nil, 0o600) }},
		{"a hidden file", func() error { return os.WriteFile(at(".hidden"), nil, 0o600) }},
		{"a file nobody may read", func() error { return os.WriteFile(at("secret"), nil, 0) }},
		{"mkdir", func() error { return os.Mkdir(at("sub"), 0o700) }},
		{"touch in it", func() error { return os.WriteFile(at("sub/new"), nil, 0o600) }},
		{"mkdir -p, and touch at once", func() error {
			return first(os.MkdirAll(at("a/b/c"), 0o700), os.WriteFile(at("a/b/c/d"), nil, 0o600))
		}},
		{"mv of a file", func() error { return os.Rename(at("new"), at("sub/newer")) }},
		{"mv of a directory", func() error { return os.Rename(at("a"), at("z")) }},
		{"ln -s to a file", func() error { return os.Symlink("new", at("link")) }},
		{"ln -s to nothing", func() error { return os.Symlink("nothing", at("dangling")) }},
		{"ln -s to a directory", func() error { return os.Symlink("/etc", at("sub/etc")) }},
		{"ln -s to itself", func() error { return os.Symlink("loop", at("loop")) }},
		{"ln", func() error { return os.Link(at(".hidden"), at("hard")) }},
		{"mkfifo", func() error { return syscall.Mkfifo(at("fifo"), 0o600) }},
		{"a socket", func() error { return bind(at("socket")) }},
		{"rm", func() error { return os.Remove(at("there before")) }},
		{"rm of a link to a directory", func() error { return os.Remove(at("sub/etc")) }},
		{"mv over a file", func() error { return os.Rename(at("sub/newer"), at("secret")) }},
		{"rm -r", func() error { return first(os.RemoveAll(at("z")), os.RemoveAll(at("sub"))) }},
		{"a directory where a file was", func() error { return first(os.Remove(at("secret")), os.MkdirAll(at("secret/x/y"), 0o700)) }},
		{"a file in it", func() error { return os.WriteFile(at("secret/x/y/z"), nil, 0o600) }},
		{"a file where a directory was", func() error { return first(os.RemoveAll(at("secret")), os.WriteFile(at("secret"), nil, 0o600)) }},
		{"rm of everything", func() error {
			names, err := filepath.Glob(at("*"))
			for _, name := range append(names, at(".hidden")) {
				err = first(err, os.RemoveAll(name))
			}
			return err
		}},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		if took, err := settles(t, patience, m, s); err != nil {
			t.Fatalf("%s: after %s: %v\n%s", step.what, took, err, s.Tail())
		}
	}
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// bind makes a socket, and leaves it behind.
func bind(path string) error {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	return syscall.Bind(fd, &syscall.SockaddrUnix{Name: path})
}

// Without any argument the master serves scouts on port 3000 and consumers on
// port 3001; a scout finds it with two variables.
func TestNoArguments(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := dirOf(t, "app.log")
	n, serving := startAlone(t)
	if serving.Text("grpc") != "127.0.0.1:3000" || serving.Text("http") != "127.0.0.1:3001" ||
		serving.Number("heartbeat") != 1 || serving.Number("deadline") != 3 {
		t.Errorf("it says %v", serving)
	}
	n.startScout(t, dir, "-host", "web-01")
	want := fmt.Sprintf("{\"files\":[\n{\"filename\":\"app.log\",\"host\":\"web-01\",\"directory\":%q}\n]}", dir)
	within(t, patience, func() error {
		if got, complaints := n.paste(t, dir, "curl -s localhost:3001/files"); got != want || complaints != "" {
			return fmt.Errorf("curl prints %s%s", got, complaints)
		}
		return nil
	})
}

// Every flag works as -name v, --name v and -name=v, and from the environment.
func TestFlagForms(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"-grpc 0 -http 0 -deadline 9s",
		"--grpc 0 --http 0 --deadline 9s",
		"-grpc=0 -http=0 -deadline=9s",
		"--grpc=0 -http=0 --deadline 9s",
	} {
		m := launch(t, command(programs.Scoutmaster, strings.Fields(args)...))
		if e := await(t, m, "serving"); e.Number("deadline") != 9 {
			t.Errorf("%s: %v", args, e)
		}
	}
	cmd := command(programs.Scoutmaster, "-heartbeat", "2s")
	cmd.Env = append(cmd.Env, "SCOUTMASTER_GRPC=0", "SCOUTMASTER_HTTP=0", "SCOUTMASTER_HEARTBEAT=1ms", "SCOUTMASTER_DEADLINE=7s", "SCOUTMASTER_LOG_FORMAT=json")
	serving := await(t, launch(t, cmd), "serving")
	if serving.Number("deadline") != 7 || serving.Number("heartbeat") != 2 {
		t.Errorf("by environment, and a flag against it: %v", serving)
	}

	m := masterAt(serving.Text("grpc"), serving.Text("http"))
	for i, args := range []string{
		"-dir %s -master %s -host h%d -recursive false -exclude *.o -exclude x",
		"--dir %s --master %s --host h%d --recursive false --exclude *.o --exclude x",
		"-dir=%s -master=%s -host=h%d -recursive=false -exclude=*.o -exclude=x",
	} {
		dir := dirOf(t, "listed", "sub/not listed", "x", "main.o")
		args := fmt.Sprintf(args, dir, m.GRPC, i)
		launch(t, command(programs.Scout, strings.Fields(args)...))
		awaitList(t, m, fmt.Sprint("h", i), dir, "listed")
	}
}

// Excluded entries are never listed, read or watched. All others are listed, whatever
// happens around them.
func TestExclude(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "keep/a.go", "keep/a.tmp", "node_modules/x/y", ".git/config")
	m := startMaster(t)
	cmd := scoutCommand(m.GRPC, "h", dir)
	cmd.Env = append(cmd.Env, "SCOUT_EXCLUDE=**/*.tmp, {node_modules,vendor},.git")
	launch(t, cmd)
	awaitList(t, m, "h", dir, "keep/a.go")
	write(t, dir, "vendor", "z")
	write(t, dir, "b.tmp")
	write(t, dir, "sub", "c.tmp")
	write(t, dir, "sub", "node_modules", "d")
	must(t, os.Rename(filepath.Join(dir, "keep/a.tmp"), filepath.Join(dir, "keep/b")))
	must(t, os.Rename(filepath.Join(dir, "keep/a.go"), filepath.Join(dir, "keep/a.tmp")))
	must(t, os.Rename(filepath.Join(dir, ".git"), filepath.Join(dir, "git")))
	awaitList(t, m, "h", dir, "git/config", "keep/b", "sub/node_modules/d")
}

// -version and -help answer on standard output, without a master or a log.
func TestHelp(t *testing.T) {
	t.Parallel()
	for _, program := range []string{programs.Scout, programs.Scoutmaster} {
		for flag, want := range map[string]string{"-version": "go1.", "-help": "-log-format", "--help": "-log-format"} {
			var log bytes.Buffer
			cmd := command(program, flag)
			cmd.Stderr = &log
			out, err := cmd.Output()
			if err != nil || log.Len() > 0 || !strings.Contains(string(out), want) {
				t.Errorf("%s %s: %v, log %q, output %q", program, flag, err, log.String(), out)
			}
		}
	}
}
