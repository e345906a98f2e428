package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a flag's address.
func Listen(ctx context.Context, flag, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("flag -%s: %s is in use by another program: stop that one or choose another port", flag, address)
	}
	if err != nil {
		return nil, fmt.Errorf("flag -%s: %w: choose an address of this machine that may be listened on", flag, err)
	}
	return l, nil
}

// ProfileFlag is the flag of both programs that serves Go's profiles.
func ProfileFlag(address *string) Flag {
	return Flag{
		Name: profileFlag, Value: "ADDRESS", Set: To(address, ListenAddress),
		Usage: "serve Go's profiles at /debug/pprof/ here, to this machine only; off unless given",
	}
}

const profileFlag = "pprof"

// CheckProfiles refuses to show profiles to other machines.
func CheckProfiles(address string) error {
	if address == "" || IsLoopback(address) {
		return nil
	}
	return fmt.Errorf("flag -%s: %s can be reached from other machines, and profiles show what is in memory: give the port alone", profileFlag, address)
}
