//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// megabit is a slow link, in bytes a second.
const megabit = 1_000_000 / 8

// A snapshot that takes many deadlines over a slow link is not taken for
// silence, and is seen at once when it is whole. With -long it is of a million
// files.
func TestSlowLink(t *testing.T) {
	t.Parallel()
	const deadline = time.Second
	dir := roomyDir(t)
	n := 0
	for i := range 150 {
		n += fillMany(t, filepath.Join(dir, fmt.Sprint("directory ", i)), 1000)
	}
	for i := 0; *long && n < 1_000_000; i++ {
		n += fillMany(t, filepath.Join(dir, fmt.Sprint("more ", i)), 10_000)
	}
	m := startMaster(t, "-heartbeat", "200ms", "-deadline", deadline.String())
	p := newProxy(t, m.GRPC)
	p.Set(testfleet.Condition{Rate: megabit})
	s := launchScout(t, scoutCommand(p.Address(), "h", dir), "h", dir)
	within(t, 10*time.Minute, func() error {
		if len(m.Logged(0, "files synced")) == 0 {
			return fmt.Errorf("nothing is listed: %s\n%s", m.Tail(), s.Tail())
		}
		return nil
	})
	synced := await(t, m.Process, "files synced")
	if got := int(synced.Number("files")); got != n {
		t.Errorf("%d files were listed first, of %d", got, n)
	}
	took := synced.Number("seconds")
	t.Logf("%d files: the snapshot took %.1f s", n, took)
	if took < 3*deadline.Seconds() {
		t.Errorf("the snapshot took only %.1f s", took)
	}
	write(t, dir, "later")
	lookFor(t, m, "later", true)
	never(t, m.Process, 0, "scout dropped")
	never(t, s.Process, 0, "master lost")
}

// fillMany makes a directory with n files, and returns n.
func fillMany(t *testing.T, dir string, n int) int {
	t.Helper()
	must(t, os.Mkdir(dir, 0o755))
	create(t, dir, n)
	return n
}

// A proxy that keeps the scout's connection while the master behind it goes
// away and another comes: silence shows it, and the scout registers again
// within two deadlines.
func TestProxyKeepsConnection(t *testing.T) {
	t.Parallel()
	const deadline = 2 * time.Second
	timing := []string{"-heartbeat", "500ms", "-deadline", deadline.String()}
	m := startMaster(t, timing...)
	p := newProxy(t, m.GRPC)
	dir := tempDir(t)
	fill(t, dir, 10)
	s := launchScout(t, scoutCommand(p.Address(), "h", dir), "h", dir)
	converges(t, m, s)

	p.Set(testfleet.Condition{Keeps: true})
	kill(t, m.Process)
	began := time.Now()
	m = startMaster(t, timing...)
	p.SetTarget(m.GRPC)
	must(t, os.Remove(filepath.Join(dir, "003")))
	converges(t, m, s)
	took := await(t, m.Process, "scout registered").Time().Sub(began)
	t.Logf("registered again after %s, listed after %s", took, time.Since(began))
	if took > 2*deadline+soon {
		t.Errorf("registered again only after %s", took)
	}
	lost := await(t, s.Process, "master lost")
	if silent := lost.Time().Sub(began); silent < deadline-600*time.Millisecond {
		t.Errorf("the master was lost after %s, before the deadline: %v", silent, lost)
	}
}

// What is removed and made while the link is cut is gone and there when it is
// mended, and nothing is listed meanwhile.
func TestLinkCut(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	p := newProxy(t, m.GRPC)
	dir := tempDir(t)
	names := fill(t, dir, 50)
	s := launchScout(t, scoutCommand(p.Address(), "h", dir), "h", dir)
	c := consume(t, m)
	for round := range 3 {
		converges(t, m, s)
		p.Set(testfleet.Condition{Cut: true})
		within(t, soon, func() error { return m.absent(s) })
		c.isDead(s)
		for _, name := range names[10*round:][:10] {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
		write(t, dir, fmt.Sprint("made ", round))
		await(t, s.Process, "master lost")
		c.isBack(s)
		c.isWhole(s, names[10*round+10:])
		p.Set(testfleet.Condition{})
	}
	converges(t, m, s)
	c.done()
}

// packets is what a network can do to them.
var packets = []struct {
	name string
	lost testfleet.Condition
	why  []string // the master may drop the scout
}{
	{"both ways", testfleet.Condition{Silent: true, Deaf: true}, []string{"silent past deadline"}},
	{"up", testfleet.Condition{Silent: true}, []string{"silent past deadline"}},
	// Without acknowledgements TCP soon sends nothing new, the scout's farewell
	// neither.
	{"down", testfleet.Condition{Deaf: true}, []string{"stream broken", "silent past deadline"}},
}

// Packets vanish, both ways or one way, and nothing tells so: both ends agree
// within the deadline and a heartbeat that the session is over, nothing of the
// scout is listed, and all is exact when the network is back.
func TestPacketsVanish(t *testing.T) {
	t.Parallel()
	const heartbeat, deadline = 250 * time.Millisecond, 1500 * time.Millisecond
	for _, test := range packets {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t)
			m := startMaster(t, "-grpc", ns.Here+":0", "-insecure", "-heartbeat", heartbeat.String(), "-deadline", deadline.String())
			dir := tempDir(t)
			fill(t, dir, 20)
			cmd := scoutCommand(m.GRPC, "h", dir, "-insecure")
			s := launchScout(t, inNamespace(ns, cmd), "h", dir)
			converges(t, m, s)

			began := time.Now()
			must(t, ns.Set(test.lost))
			dropped, lost := await(t, m.Process, "scout dropped"), await(t, s.Process, "master lost")
			for end, at := range map[string]time.Time{"master": dropped.Time(), "scout": lost.Time()} {
				took := at.Sub(began)
				t.Logf("the %s noticed after %s", end, took)
				if took < deadline-2*heartbeat-100*time.Millisecond || took > deadline+heartbeat+soon {
					t.Errorf("the %s noticed after %s", end, took)
				}
			}
			if !slices.Contains(test.why, dropped.Text("reason")) {
				t.Errorf("%v", dropped)
			}
			if err := m.absent(s); err != nil {
				t.Error(err)
			}
			write(t, dir, "made meanwhile")
			time.Sleep(deadline) // nothing comes back by itself
			if err := m.absent(s); err != nil {
				t.Error(err)
			}
			must(t, ns.Set(testfleet.Condition{}))
			converges(t, m, s)
			never(t, m.Process, 0, "registration refused")
		})
	}
}
