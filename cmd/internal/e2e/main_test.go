//go:build linux

package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"scout/cmd/internal/testfleet"
)

// programs are built once for all tests.
var programs testfleet.Programs

// long runs what takes minutes, too.
var long = flag.Bool("long", os.Getenv("SCOUT_E2E_LONG") == "1", "run the tests that take minutes")

func TestMain(m *testing.M) {
	// The tests wait for programs rather than compute.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "scout-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // other users run them too
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if programs, err = testfleet.Build(dir, buildFlags...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, left := range children() {
		fmt.Fprintln(os.Stderr, "a test left a process:", left)
		code = 1
	}
	return code
}

// children returns the processes that this one has started and that still run.
func children() (found []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		end := strings.LastIndexByte(string(stat), ')')
		fields := strings.Fields(string(stat)[end+1:]) // from the state on
		if len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			found = append(found, string(stat[:end+1]))
		}
	}
	return found
}
