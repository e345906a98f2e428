//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

func TestMain(m *testing.M) {
	testfleet.ServeDisk()
	os.Exit(m.Run())
}

// seed returns the seed of the environment, or a new one.
func seed(t *testing.T) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1_000_000
	if s := os.Getenv("SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatal(err)
		}
	}
	return seed
}

// A short run with every kind of fault that this machine allows finds no violation.
func TestChaosShort(t *testing.T) {
	if testing.Short() {
		t.Skip("real programs and real time")
	}
	seed := seed(t)
	noNamespaces, noLimits, noDisks := testfleet.NamespacesWork(), limitsWork(), testfleet.DisksWork()
	t.Logf("SEED=%d; why there are no namespaces: %v; no limits: %v; no disks: %v", seed, noNamespaces, noLimits, noDisks)
	dir := t.TempDir()
	programs, err := testfleet.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	p := plan{
		programs: programs, seed: seed, scouts: 6, scale: slowness(),
		faults: 9 * time.Second, rest: 5 * time.Second, calm: time.Second, history: filepath.Join(dir, "history"),
	}
	inNamespaces, withMaster := p, p
	inNamespaces.namespaces, inNamespaces.limits = noNamespaces == nil, noLimits == nil
	withMaster.master, withMaster.disks = true, noDisks == nil
	nats, err := natsserver.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	inFleet := p.shared(nats)
	inFleet.rivals = rivalsWork() == nil
	inFleet.scouts, inFleet.faults, inFleet.rest = 4, 15*time.Second, 2*time.Second
	for i, p := range []plan{inNamespaces, withMaster, inFleet} {
		p.history += strconv.Itoa(i)
		t.Run(p.String(), func(t *testing.T) {
			t.Parallel()
			r, err := p.play(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Log(r)
			if err := r.wrong(p); err != nil {
				t.Error(err)
			}
		})
	}
}

// slowness is the factor by which time bounds grow compared with a quiet machine.
func slowness() float64 {
	if testfleet.Raced() {
		return 3
	}
	return 2
}
