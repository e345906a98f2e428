package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"scout/cmd/internal/testfleet"
	"scout/internal/jetstream/natsserver"
)

// scoutmasters, scouts and NATS servers of the demo of a fleet.
const members = 3

// showFleet shows three scoutmasters with one list, and kills one of them.
func showFleet(programs testfleet.Programs) error {
	dir, err := os.MkdirTemp("", "scout-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is in the directory for temporary files
	fmt.Println("(building nats-server)")
	nats, err := natsserver.Build(dir)
	if err != nil {
		return err
	}
	f, err := testfleet.NewFleet(testfleet.FleetConfig{Programs: programs, NATS: nats, Dir: dir, Servers: members, Masters: members})
	if err != nil {
		return err
	}
	defer f.Close()
	fmt.Printf("(%d NATS servers: %s)\n", members, f.NATS())
	d := &fleetDemo{Fleet: f}
	defer d.end()
	return d.play(dir)
}

// fleetDemo is a fleet that is shown.
type fleetDemo struct {
	*testfleet.Fleet
	masters []*testfleet.Master
	scouts  []*testfleet.Process
	dirs    []string
}

func (d *fleetDemo) end() {
	for _, s := range d.scouts {
		s.Kill()
	}
	for _, m := range d.masters {
		m.Kill()
	}
}

func (d *fleetDemo) play(dir string) error {
	for i := range members {
		if err := d.startMaster(i); err != nil {
			return err
		}
	}
	for i := range members {
		if err := d.startScout(i, filepath.Join(dir, fmt.Sprint("data-", i))); err != nil {
			return err
		}
	}
	if err := d.await("each scoutmaster lists all files", 2*members); err != nil {
		return err
	}
	victim, err := d.home(d.scouts[0])
	if err != nil {
		return err
	}
	fmt.Printf("$ kill -9 %s          # %s is registered there\n", d.Name(victim), d.dirs[0])
	d.masters[victim].Kill()
	if err := d.watch(victim); err != nil {
		return err
	}
	fmt.Printf("$ touch %s/after\n", d.dirs[0])
	if err := os.WriteFile(filepath.Join(d.dirs[0], "after"), nil, 0o600); err != nil {
		return err
	}
	if err := d.await("the others list it", 2*members+1); err != nil {
		return err
	}
	if err := d.startMaster(victim); err != nil {
		return err
	}
	return d.await("its successor lists all files", 2*members+1)
}

// startMaster starts a scoutmaster and waits until it is ready.
func (d *fleetDemo) startMaster(i int) error {
	cmd := d.MasterCommand(i)
	fmt.Printf("$ scoutmaster -name %s -nats %s\n", d.Name(i), d.NATS())
	p, err := testfleet.Launch(cmd)
	if err != nil {
		return err
	}
	m, err := p.Serving()
	if err != nil {
		p.Kill()
		return err
	}
	if len(d.masters) < members {
		d.masters = append(d.masters, m)
	} else {
		d.masters[i] = m
	}
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, err = m.Get("/readyz"); err == nil {
			fmt.Printf("    it is ready: http://%s/\n", m.HTTP)
			return nil
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("%s is not ready: %w", d.Name(i), err)
		}
	}
}

// startScout starts a scout of a directory with two files.
func (d *fleetDemo) startScout(i int, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for _, name := range []string{"app.log", "data.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			return err
		}
	}
	fmt.Printf("$ scout -dir %s -master %s\n", dir, d.Addresses())
	s, err := testfleet.Start("cmd/scout/scout", "-dir", dir, "-host", fmt.Sprint("host-", i), "-master", d.Addresses(), "-log-format", "json")
	if err != nil {
		return err
	}
	d.scouts, d.dirs = append(d.scouts, s), append(d.dirs, dir)
	e, err := s.AwaitMsg(time.Minute, 0, "registered")
	if err == nil {
		fmt.Printf("    it is registered at %s\n", e.Text("master"))
	}
	return err
}

// home returns which scoutmaster a scout is registered at.
func (d *fleetDemo) home(s *testfleet.Process) (int, error) {
	registered := s.Logged(0, "registered")
	at := registered[len(registered)-1].Text("master")
	for i := range d.masters {
		if d.Address(i) == at {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no scoutmaster is at %s", at)
}

// await waits until every scoutmaster that runs lists so many files.
func (d *fleetDemo) await(what string, files int) error {
	for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		counts, err := d.count()
		all := err == nil
		for _, n := range counts {
			all = all && (n == files || n < 0)
		}
		if all {
			fmt.Printf("    %s: %s (after %s)\n", what, text(counts), time.Since(began).Round(time.Millisecond))
			return nil
		}
		if time.Since(began) > time.Minute {
			return fmt.Errorf("in vain: %s: %s: %w", what, text(counts), err)
		}
	}
}

// watch prints how many files the scoutmasters list while scouts move, until twice
// the deadline is over.
func (d *fleetDemo) watch(victim int) error {
	last := ""
	for began := time.Now(); time.Since(began) < 7*time.Second; time.Sleep(10 * time.Millisecond) {
		counts, err := d.count()
		if err != nil {
			return err
		}
		parts := []string{text(counts)}
		for i, s := range d.scouts {
			at, err := d.home(s)
			if err != nil {
				return err
			}
			parts = append(parts, fmt.Sprintf("host-%d at %s", i, d.Name(at)))
		}
		state := strings.Join(parts, "; ")
		if state != last {
			fmt.Printf("    %5.2f s: %s\n", time.Since(began).Seconds(), state)
		}
		last = state
	}
	for i, m := range d.masters {
		if lost := m.Logged(0, "scoutmaster lost"); i != victim && len(lost) > 0 {
			fmt.Printf("    %s says: scoutmaster lost, %s, %s\n", d.Name(i), lost[0].Text("name"), lost[0].Text("reason"))
		}
	}
	return nil
}

// count asks each scoutmaster that runs how many files it lists; -1 is one that does
// not run.
func (d *fleetDemo) count() ([]int, error) {
	counts := make([]int, len(d.masters))
	for i, m := range d.masters {
		if m.Ended() {
			counts[i] = -1
			continue
		}
		entries, err := m.Files()
		if err != nil {
			return counts, err
		}
		counts[i] = len(entries)
	}
	return counts, nil
}

// text is how many files each scoutmaster lists, for people.
func text(counts []int) string {
	words := make([]string, len(counts))
	for i, n := range counts {
		words[i] = strconv.Itoa(n)
		if n < 0 {
			words[i] = "-"
		}
	}
	return "files listed: " + strings.Join(words, " ")
}
