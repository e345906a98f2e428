//go:build linux

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runProbe runs a program with -probe, and returns its exit code and what it prints.
func runProbe(t *testing.T, program string, args ...string) (code int, printed string) {
	t.Helper()
	out, err := command(program, append(args, "-probe")...).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "\n"); n != 1 {
		t.Errorf("%s -probe prints %d lines: %s", program, n, out)
	}
	if err != nil {
		return 1, string(out)
	}
	return 0, string(out)
}

// A probe follows the state of the program that runs with the same flags.
func TestProbe(t *testing.T) {
	t.Parallel()
	httpFlags := []string{"-http", freePort(t)}
	if code, said := runProbe(t, programs.Scoutmaster, httpFlags...); code == 0 {
		t.Error("no scoutmaster runs, and it is ready:", said)
	}
	m := startMaster(t, httpFlags...)
	if code, said := runProbe(t, programs.Scoutmaster, httpFlags...); code != 0 {
		t.Error("of a scoutmaster:", said)
	}
	metrics := []string{"-metrics", freePort(t)}
	startScout(t, m, "web-01", tempDir(t), metrics...)
	within(t, 5*time.Second, func() error {
		if code, said := runProbe(t, programs.Scout, metrics...); code != 0 {
			return fmt.Errorf("of a scout: %s", said)
		}
		return nil
	})
	expectExit(t, m.Process, syscall.SIGTERM, 5*time.Second)
	within(t, 5*time.Second, func() error {
		code, said := runProbe(t, programs.Scout, metrics...)
		if code == 0 || !strings.Contains(said, "the scout is not registered at a scoutmaster") {
			return fmt.Errorf("of a scout without its scoutmaster: %s", said)
		}
		return nil
	})
}
