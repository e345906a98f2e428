package natsserver

import (
	"fmt"
	"os"
	"testing"
)

// TestPortsAreNotGivenToOthers compares ports with those that the kernel gives to listeners
// that ask for any, of which one could get the port of a server that does not run.
func TestPortsAreNotGivenToOthers(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		t.Fatal(err)
	}
	var low, high int
	if _, err := fmt.Sscan(string(text), &low, &high); err != nil {
		t.Fatal(err)
	}
	ports, err := freePorts(10)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range ports {
		if low <= port && port <= high {
			t.Errorf("port %d is one of %d to %d", port, low, high)
		}
	}
}
