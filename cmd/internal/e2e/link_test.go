//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
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
	p := newProxy(t, m)
	p.rate = megabit
	s := launchScout(t, scoutCommand(p.address, "h", dir), "h", dir)
	within(t, 10*time.Minute, func() error {
		if len(events(m.Process, 0, "files synced")) == 0 {
			return fmt.Errorf("nothing is listed: %s\n%s", tail(m.Process), tail(s.Process))
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
	within(t, patience, func() error {
		if body, err := m.get("/files?prefix=later"); err != nil || len(body) < 20 {
			return fmt.Errorf("%s, %w", body, err)
		}
		return nil
	})
	if lost := len(events(m.Process, 0, "scout dropped")) + len(events(s.Process, 0, "master lost")); lost > 0 {
		t.Errorf("%s\n%s", tail(m.Process), tail(s.Process))
	}
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
	p := newProxy(t, m)
	dir := tempDir(t)
	fill(t, dir, 10)
	s := launchScout(t, scoutCommand(p.address, "h", dir), "h", dir)
	converges(t, m, s)

	p.set(func(p *proxy) { p.keeps = true })
	kill(t, m.Process)
	began := time.Now()
	m = startMaster(t, timing...)
	p.set(func(p *proxy) { p.to = m.grpc })
	must(t, os.Remove(filepath.Join(dir, "003")))
	converges(t, m, s)
	took := eventTime(t, await(t, m.Process, "scout registered")).Sub(began)
	t.Logf("registered again after %s, listed after %s", took, time.Since(began))
	if took > 2*deadline+soon {
		t.Errorf("registered again only after %s", took)
	}
	lost := await(t, s.Process, "master lost")
	if silent := eventTime(t, lost).Sub(began); silent < deadline-600*time.Millisecond {
		t.Errorf("the master was lost after %s, before the deadline: %v", silent, lost)
	}
}

// What is removed and made while the link is cut is gone and there when it is
// mended, and nothing is listed meanwhile.
func TestLinkCut(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	p := newProxy(t, m)
	dir := tempDir(t)
	names := fill(t, dir, 50)
	s := launchScout(t, scoutCommand(p.address, "h", dir), "h", dir)
	c := consume(t, m)
	for round := range 3 {
		converges(t, m, s)
		p.cut()
		within(t, soon, func() error { return m.absent(s) })
		c.isDead(s)
		for _, name := range names[10*round:][:10] {
			must(t, os.Remove(filepath.Join(dir, name)))
		}
		write(t, dir, fmt.Sprint("made ", round))
		await(t, s.Process, "master lost")
		c.isBack(s)
		c.isWhole(s, names[10*round+10:])
		p.mend()
	}
	converges(t, m, s)
	c.done()
}

// packets is what a network can do to them.
var packets = []struct {
	name string
	lose func(*island)
	why  []string // the master may drop the scout
}{
	{"both ways", func(i *island) { i.loseUp(); i.loseDown() }, []string{"silent past deadline"}},
	{"up", func(i *island) { i.loseUp() }, []string{"silent past deadline"}},
	// Without acknowledgements TCP soon sends nothing new, the scout's farewell
	// neither.
	{"down", func(i *island) { i.loseDown() }, []string{"stream broken", "silent past deadline"}},
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
			i := newIsland(t)
			m := startMaster(t, "-grpc", i.here+":0", "-insecure", "-heartbeat", heartbeat.String(), "-deadline", deadline.String())
			dir := tempDir(t)
			fill(t, dir, 20)
			cmd := scoutCommand(m.grpc, "h", dir, "-insecure")
			s := launchScout(t, command("ip", append([]string{"netns", "exec", i.name}, cmd.Args...)...), "h", dir)
			converges(t, m, s)

			began := time.Now()
			test.lose(i)
			dropped, lost := await(t, m.Process, "scout dropped"), await(t, s.Process, "master lost")
			for end, at := range map[string]time.Time{"master": eventTime(t, dropped), "scout": eventTime(t, lost)} {
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
			i.mend()
			converges(t, m, s)
			if n := len(events(m.Process, 0, "registration refused")); n > 0 {
				t.Errorf("its own ghost was in the way: %s", tail(m.Process))
			}
		})
	}
}

// island is a network namespace, joined to this one by a link.
type island struct {
	t           *testing.T
	name, link  string
	here, there string // addresses of the link's ends
}

var islands struct {
	sync.Mutex
	n int
}

// newIsland makes an island that lasts as long as the test.
func newIsland(t *testing.T) *island {
	t.Helper()
	needRoot(t)
	islands.Lock()
	n := (os.Getpid()*8 + islands.n) % 16_000
	islands.n++
	islands.Unlock()
	i := &island{t: t, name: fmt.Sprint("scout-e2e-", n), link: fmt.Sprint("scout", n)}
	net := fmt.Sprintf("198.%d.%d.", 18+n/8192, n/64%128*2)
	i.here, i.there = fmt.Sprint(net, n%64*4+1), fmt.Sprint(net, n%64*4+2)
	if out, err := ip("netns", "add", i.name); err != nil {
		t.Skipf("SKIPPED: no network namespaces here: %v: %s", err, out)
	}
	t.Cleanup(func() { ip("netns", "del", i.name); ip("link", "del", i.link) })
	for _, args := range [][]string{
		{"link", "add", i.link, "type", "veth", "peer", "name", "eth0", "netns", i.name},
		{"addr", "add", i.here + "/30", "dev", i.link},
		{"link", "set", i.link, "up"},
		{"-n", i.name, "addr", "add", i.there + "/30", "dev", "eth0"},
		{"-n", i.name, "link", "set", "eth0", "up"},
	} {
		i.ip(args...)
	}
	return i
}

func ip(args ...string) ([]byte, error) { return exec.Command("ip", args...).CombinedOutput() }

func (i *island) ip(args ...string) {
	i.t.Helper()
	if out, err := ip(args...); err != nil {
		i.t.Fatalf("ip %q: %v: %s", args, err, out)
	}
}

// loseUp makes what the island sends vanish: it goes to a station that is not
// there.
func (i *island) loseUp() {
	i.ip("-n", i.name, "neigh", "replace", i.here, "lladdr", nowhere, "dev", "eth0", "nud", "permanent")
}

// loseDown makes what is sent to the island vanish.
func (i *island) loseDown() {
	i.ip("neigh", "replace", i.there, "lladdr", nowhere, "dev", i.link, "nud", "permanent")
}

const nowhere = "02:00:00:00:00:99"

// mend lets everything through again.
func (i *island) mend() {
	ip("-n", i.name, "neigh", "del", i.here, "dev", "eth0")
	ip("neigh", "del", i.there, "dev", i.link)
}
