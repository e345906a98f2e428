//go:build linux

package e2e

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"scout/cmd/internal/testfleet"
)

// SIGHUP ends neither program. The scoutmaster reads its credentials again, even
// if the files look unchanged.
func TestHangup(t *testing.T) {
	t.Parallel()
	tokens := secretFile(t, "a:0123456789abcdef0123456789abcdef\n")
	m := startMaster(t, "-scout-token-file", tokens)
	dir := tempDir(t)
	s := startScout(t, m, "h", dir, "-token-file", tokens)
	for range 2 {
		signal(t, m.Process, syscall.SIGHUP)
		signal(t, s.Process, syscall.SIGHUP)
	}
	if e := await(t, m.Process, "credentials reloaded"); e.Text("files") != tokens {
		t.Errorf("logged %v", e)
	}
	write(t, dir, "file")
	converges(t, m, s)
	never(t, s.Process, 0, "master lost")
}

// A full pipe that nobody reads, as standard error, holds up neither program:
// the list stays true, and both stop when they are told.
func TestNobodyReadsTheLog(t *testing.T) {
	t.Parallel()
	pipe := fullPipe(t)
	m, stopMaster := startMasterTo(t, pipe, "-log-level", "debug")
	dir := tempDir(t)
	stopScout := startTo(t, pipe, scoutCommand(m.GRPC, "h", dir, "-log-level", "debug"))
	var names []string
	for i := range rounds(40) {
		names = append(names, fmt.Sprintf("%03d", i))
		write(t, dir, names[i])
		awaitList(t, m, "h", dir, names...)
		// Each round is a scout that comes and goes, and so logs of the scoutmaster.
		r := dialRaw(t, m)
		r.register("raw", "/"+names[i])
		r.conn.Close()
	}
	stopScout()
	stopMaster()
}

// fullPipe returns the end of a pipe that takes no more bytes. Nobody reads the
// other end until the test is over.
func fullPipe(t *testing.T) *os.File {
	t.Helper()
	var fds [2]int
	must(t, syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	for {
		if _, err := syscall.Write(fds[1], make([]byte, 1)); err == syscall.EAGAIN {
			break
		}
	}
	must(t, syscall.SetNonblock(fds[1], false))
	t.Cleanup(func() { syscall.Close(fds[0]) })
	w := os.NewFile(uintptr(fds[1]), "pipe")
	t.Cleanup(func() { w.Close() })
	return w
}

// Idle clients of -metrics take no descriptors that the scout needs to see files.
func TestCrowdAtMetrics(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := tempDir(t)
	scoutArgs := scoutCommand(m.GRPC, "h", dir, "-metrics", "0").Args[1:]
	s := launchScout(t, command("prlimit", append([]string{"--nofile=100", programs.Scout}, scoutArgs...)...), "h", dir)
	address := await(t, s.Process, "listening").Text("address")
	await(t, s.Process, "registered")
	hangOn(t, address, 200)
	for i := range 5 {
		write(t, dir, fmt.Sprint("d", i), "file")
		converges(t, m, s)
	}
	within(t, patience, func() error { // the crowd is cut off, and others are answered
		_, err := testfleet.Get(client, "http://"+address+"/metrics")
		return err
	})
}
