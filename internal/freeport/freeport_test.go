package freeport

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"testing"
)

// TestReserve reserves ports, which differ and can be used.
func TestReserve(t *testing.T) {
	seen := map[int]bool{}
	for range 100 {
		port, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < first || port > last {
			t.Errorf("port %d, after %d others", port, len(seen))
		}
		seen[port] = true
	}
}

// TestReserveInTwoProcesses has another process try the same ports.
func TestReserveInTwoProcesses(t *testing.T) {
	const variable = "FREEPORT_FROM"
	if from, err := strconv.Atoi(os.Getenv(variable)); err == nil { // this is the other process
		port, err := reserve(from)
		fmt.Println(port, err)
		os.Exit(0)
	}
	port, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	other := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	other.Env = append(os.Environ(), fmt.Sprint(variable, "=", port))
	out, err := other.Output()
	var got int
	if _, scanErr := fmt.Sscanf(string(out), "%d <nil>", &got); err != nil || scanErr != nil {
		t.Fatalf("%q, %v, %v", out, err, scanErr)
	}
	if got <= port {
		t.Errorf("another process has reserved %d, which is reserved: %d", got, port)
	}
}
