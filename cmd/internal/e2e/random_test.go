//go:build linux

package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Whatever is done to the directories of three scouts, and however fast, the
// list is what find prints once it stops; and at every moment it is well-formed.
// Nothing but notifications tell the scouts: the poll is off.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	rampage(t, []string{"/", "/etc", "/nothing/at/all"}, "-poll", "1h")
}

// The same with links that lead to what is watched, where the poll must help.
func TestRandomOperationsWithLinks(t *testing.T) {
	t.Parallel()
	rampage(t, []string{".", "..", "a", "ab", "../a", "../../a"}, "-poll", "1s")
}

// rampage lets a vandal loose on each of three scouts' directories, round after
// round, and judges in between.
func rampage(t *testing.T, links []string, args ...string) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SCOUT_E2E_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		must(t, err)
	}
	t.Logf("SCOUT_E2E_SEED=%d", seed)

	root, err := os.OpenRoot(tempDir(t))
	must(t, err)
	defer root.Close()
	m := startMaster(t)
	var scouts []*scout
	dirs := []string{"dir0", "dir1", "dir2", "elsewhere"}
	for i, dir := range dirs {
		must(t, root.Mkdir(dir, 0o755))
		if dir != "elsewhere" {
			scouts = append(scouts, startScout(t, m, fmt.Sprint("host", i%2), filepath.Join(root.Name(), dir), args...))
		}
	}
	consume(t, m)

	for round := range roundsOfRage() {
		var workers sync.WaitGroup
		stop := time.Now().Add(500 * time.Millisecond)
		done := make([]int, len(scouts))
		for i := range scouts {
			source := rand.NewPCG(seed, uint64(round*len(scouts)+i))
			v := &vandal{Rand: rand.New(source), root: root, home: dirs[i], dirs: dirs, links: links}
			workers.Go(func() { done[i] = v.rage(stop) })
		}
		workers.Wait()
		took, err := settles(t, patience, m, scouts...)
		t.Logf("round %d: %d operations, converged after %s", round, done, took.Round(time.Millisecond))
		if err != nil {
			t.Fatalf("seed %d, round %d: after %s: %v\n%s\n%s\n%s", seed, round, took, err,
				tail(scouts[0].Process), tail(scouts[1].Process), tail(scouts[2].Process))
		}
	}
	for _, s := range scouts {
		if bugs := events(s.Process, 0, "changes do not fit"); len(bugs) > 0 {
			t.Errorf("seed %d: %v", seed, bugs)
		}
	}
}

func roundsOfRage() int {
	if *long {
		return 200
	}
	return rounds(5)
}

// vandal does random things below its home, and now and then takes something
// away to, or from, elsewhere. Most names are few, so that things get in each
// other's way; an operation that cannot be done is left out. Wherever the links
// lead that it makes, it is confined to the root.
type vandal struct {
	*rand.Rand
	root  *os.Root
	home  string
	dirs  []string // all in the root
	links []string // where to
}

// rage goes on until the time has come and returns how much it did: in bursts
// of very different lengths, since what floods a queue hides what does not.
func (v *vandal) rage(stop time.Time) (done int) {
	for time.Now().Before(stop) {
		for range 1 + v.IntN(1<<v.IntN(11)) {
			if v.act() == nil {
				done++
			}
		}
		time.Sleep(time.Duration(v.IntN(8)) * time.Millisecond)
	}
	return done
}

func (v *vandal) act() error {
	path := v.path(v.home)
	switch v.IntN(16) {
	case 0, 1:
		return v.create(path)
	case 2, 3:
		return first(v.root.MkdirAll(path, 0o700), v.create(path+"/"+v.name()))
	case 4:
		return v.root.MkdirAll(path, 0o700)
	case 5, 6:
		return v.link(path)
	case 7:
		return v.root.Link(v.path(v.home), path)
	case 8:
		return v.mkfifo(path)
	case 9:
		return v.root.Rename(v.path(v.dirs[v.IntN(len(v.dirs))]), path)
	case 10, 11:
		return v.root.Rename(path, v.path(v.home))
	case 12, 13:
		return v.root.Remove(path)
	case 14:
		return v.change(path)
	default:
		if v.IntN(8) > 0 {
			return v.root.Remove(path)
		}
		return v.root.RemoveAll(path)
	}
}

// create does not wait for the reader of a pipe.
func (v *vandal) create(path string) error {
	f, err := v.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (v *vandal) link(path string) error {
	return v.root.Symlink(v.links[v.IntN(len(v.links))], path)
}

func (v *vandal) mkfifo(path string) error {
	dir, err := v.root.OpenFile(filepath.Dir(path), unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Mkfifoat(int(dir.Fd()), filepath.Base(path), 0o600)
}

// change makes a thing of one kind out of a thing of another, under one name.
func (v *vandal) change(path string) error {
	if err := v.root.RemoveAll(path); err != nil {
		return err
	}
	switch v.IntN(3) {
	case 0:
		return v.create(path)
	case 1:
		return v.link(path)
	default:
		return v.root.MkdirAll(path+"/"+v.name()+"/"+v.name(), 0o700)
	}
}

func (v *vandal) path(dir string) string {
	path := dir
	for range 1 + v.IntN(1+v.IntN(4)) {
		path += "/" + v.name()
	}
	return path
}

// hardNames are what file systems allow and programs stumble over.
var hardNames = []string{
	"a", "ab", "abc", "a.b", "a b", "a-", "a0", "-a", "...", "..a", ".a", "a...", "*", "\"", "\\", "\n", "a\nb", "\t", "\x01", "\x7f",
	"\xff", "a\xfe\xffb", "\xc3\x28", "é", "e\u0301", "\u2028", "\ufffd", "\U0001f600", "a\x80", "a\x81",
	strings.Repeat("n", 255), strings.Repeat("\xff", 255), strings.Repeat("n", 254) + "m",
}

func (v *vandal) name() string {
	if v.IntN(5) > 0 {
		return hardNames[v.IntN(6)]
	}
	if v.IntN(8) == 0 {
		return fmt.Sprint(v.IntN(1000))
	}
	return hardNames[v.IntN(len(hardNames))]
}
