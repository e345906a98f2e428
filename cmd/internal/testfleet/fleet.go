package testfleet

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"scout/internal/jetstream/natsserver"
)

// Fleet are scoutmasters that share a list, each with its own name and ports, and
// the NATS servers between them.
type Fleet struct {
	Servers []*natsserver.Server

	programs Programs
	args     []string
	masters  []place
}

// place is where a scoutmaster of a fleet listens, and what it is called.
type place struct{ name, grpc, http string }

// FleetConfig says how many there are of what.
type FleetConfig struct {
	Programs  Programs
	NATS      string // path of nats-server
	Dir       string // for the data of the NATS servers
	Servers   int
	NATSLines []string // of the NATS servers' configuration
	NATSOpen  bool     // other machines may connect to the NATS servers
	NATSEnter []string // the beginning of the command of each NATS server
	Masters   int
	Args      []string // of each scoutmaster
}

// NewFleet starts the NATS servers of a fleet. Its scoutmasters have commands and
// are not started.
func NewFleet(c FleetConfig) (*Fleet, error) {
	f := &Fleet{programs: c.Programs, args: c.Args}
	for i := range c.Masters {
		grpc, err := FreePort()
		if err != nil {
			return nil, err
		}
		http, err := FreePort()
		if err != nil {
			return nil, err
		}
		f.masters = append(f.masters, place{fmt.Sprint("master-", i), grpc, http})
	}
	var err error
	f.Servers, err = natsserver.Start(natsserver.Config{
		Binary: c.NATS, Enter: c.NATSEnter, Dir: c.Dir, Servers: c.Servers, Lines: c.NATSLines, Open: c.NATSOpen,
	})
	return f, err
}

// Close ends the NATS servers.
func (f *Fleet) Close() {
	for _, s := range f.Servers {
		s.Kill()
	}
}

// MasterCommand returns the i-th scoutmaster, which is not started yet. It has the
// same name and addresses each time.
func (f *Fleet) MasterCommand(i int, args ...string) *exec.Cmd {
	m := f.masters[i]
	own := []string{"-grpc", m.grpc, "-http", m.http, "-name", m.name, "-nats", f.NATS()}
	return f.programs.MasterCommand(slices.Concat(own, f.args, args)...)
}

// Name returns the name of the i-th scoutmaster.
func (f *Fleet) Name(i int) string { return f.masters[i].name }

// NATS returns the addresses of the NATS servers, as a scoutmaster takes them.
func (f *Fleet) NATS() string {
	urls := make([]string, len(f.Servers))
	for i, s := range f.Servers {
		urls[i] = s.URL()
	}
	return strings.Join(urls, ",")
}

// Addresses returns the addresses of all scoutmasters, as a scout takes them.
func (f *Fleet) Addresses() string {
	addresses := make([]string, len(f.masters))
	for i := range f.masters {
		addresses[i] = f.Address(i)
	}
	return strings.Join(addresses, ",")
}

// Address returns the address of the i-th scoutmaster for scouts.
func (f *Fleet) Address(i int) string { return "127.0.0.1:" + f.masters[i].grpc }
