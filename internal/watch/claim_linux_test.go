package watch

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A lock that another program has on the directory is no claim, and a claim is
// no such lock.
func TestClaimIgnoresFlock(t *testing.T) {
	dir := t.TempDir()
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, when := range []string{"before", "after"} {
		if when == "before" {
			if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
				t.Fatal(err)
			}
		}
		c, err := Claim(dir)
		if err != nil {
			t.Fatalf("flock %s the claim: %v", when, err)
		}
		if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
			t.Errorf("flock %s the claim: %v", when, err)
		}
		c.Release()
		if err := unix.Flock(fd, unix.LOCK_UN); err != nil {
			t.Fatal(err)
		}
	}
}

// The error names the process that holds the directory, which here is this one.
func TestClaimNamesItsHolder(t *testing.T) {
	dir := t.TempDir()
	c, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	want := fmt.Sprintf("is watched by another scout on this machine (process %d): stop that one", os.Getpid())
	for range 3 {
		if _, err := Claim(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("a second claim: %v, want %q", err, want)
		}
	}
}

func TestClaimWithoutSockets(t *testing.T) {
	err := refusal("/data", &lockRefusedError{os.NewSyscallError("socket", syscall.EPERM)})
	for _, part := range []string{"/data", "operation not permitted", "AF_UNIX"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("refused: %v, want it to contain %q", err, part)
		}
	}
	if !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v does not wrap its cause", err)
	}
}
