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

// After random operations on the directories of three scouts the list equals the
// output of find, and at every moment it is well-formed. The scouts use only
// notifications: the poll is off.
func TestRandomOperations(t *testing.T) {
	t.Parallel()
	mutateAll(t, []string{"/", "/etc", "/nothing/at/all"}, "-poll", "1h")
}

// The same with links to watched directories, which need the poll.
func TestRandomOperationsWithLinks(t *testing.T) {
	t.Parallel()
	mutateAll(t, []string{".", "..", "a", "ab", "../a", "../../a"}, "-poll", "1s")
}

// mutateAll runs a mutator on the directory of each of three scouts, in rounds, and
// compares the list with find after each round.
func mutateAll(t *testing.T, links []string, args ...string) {
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

	for round := range mutatorRounds() {
		var workers sync.WaitGroup
		stop := time.Now().Add(500 * time.Millisecond)
		done := make([]int, len(scouts))
		for i := range scouts {
			source := rand.NewPCG(seed, uint64(round*len(scouts)+i))
			v := &mutator{Rand: rand.New(source), root: root, home: dirs[i], dirs: dirs, links: links}
			workers.Go(func() { done[i] = v.run(stop) })
		}
		workers.Wait()
		took, err := settles(t, patience, m, scouts...)
		t.Logf("round %d: %d operations, converged after %s", round, done, took.Round(time.Millisecond))
		if err != nil {
			t.Fatalf("seed %d, round %d: after %s: %v\n%s\n%s\n%s", seed, round, took, err,
				scouts[0].Tail(), scouts[1].Tail(), scouts[2].Tail())
		}
	}
	for _, s := range scouts {
		never(t, s.Process, 0, "changes do not fit")
	}
}

func mutatorRounds() int {
	if *long {
		return 200
	}
	return rounds(5)
}

// mutator does random operations below its home, and sometimes moves an entry from
// another directory. It uses few names, so that operations collide, and ignores
// operations that fail. It cannot leave the root, whatever links it makes.
type mutator struct {
	*rand.Rand
	root  *os.Root
	home  string
	dirs  []string // all in the root
	links []string // the targets of links
}

// run works until stop and returns the number of operations. It works in bursts of
// very different lengths, because errors in short bursts do not show in floods.
func (m *mutator) run(stop time.Time) (done int) {
	for time.Now().Before(stop) {
		for range 1 + m.IntN(1<<m.IntN(11)) {
			if m.act() == nil {
				done++
			}
		}
		time.Sleep(time.Duration(m.IntN(8)) * time.Millisecond)
	}
	return done
}

func (m *mutator) act() error {
	p, q, below := m.path(m.home), m.path(m.home), "/"+m.name()
	link := func() error { return m.root.Symlink(m.links[m.IntN(len(m.links))], p) }
	switch m.IntN(16) {
	case 0, 1:
		return m.create(p)
	case 2, 3:
		return first(m.root.MkdirAll(p, 0o700), m.create(p+below))
	case 4:
		return m.root.MkdirAll(p, 0o700)
	case 5, 6:
		return link()
	case 7:
		return m.root.Link(q, p)
	case 8:
		return m.mkfifo(p)
	case 9:
		return m.root.Rename(m.path(m.dirs[m.IntN(len(m.dirs))]), p)
	case 10, 11:
		return m.root.Rename(p, q)
	case 12, 13:
		return m.root.Remove(p)
	case 14: // an entry of another kind
		if err := m.root.RemoveAll(p); err != nil {
			return err
		}
		kinds := []func() error{link, func() error { return m.create(p) }, func() error { return m.root.MkdirAll(p+below+below, 0o700) }}
		return kinds[m.IntN(len(kinds))]()
	}
	if m.IntN(8) > 0 {
		return m.root.Remove(p)
	}
	return m.root.RemoveAll(p)
}

// create makes a file. It does not wait for the reader of a pipe.
func (m *mutator) create(path string) error {
	f, err := m.root.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (m *mutator) mkfifo(path string) error {
	dir, err := m.root.OpenFile(filepath.Dir(path), unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Mkfifoat(int(dir.Fd()), filepath.Base(path), 0o600)
}

func (m *mutator) path(dir string) string {
	path := dir
	for range 1 + m.IntN(1+m.IntN(4)) {
		path += "/" + m.name()
	}
	return path
}

// hardNames are valid names that programs often handle wrongly.
var hardNames = []string{
	"a", "ab", "abc", "a.b", "a b", "a-", "a0", "-a", "...", "..a", ".a", "a...", "*", "\"", "\\", "\n", "a\nb", "\t", "\x01", "\x7f",
	"\xff", "a\xfe\xffb", "\xc3\x28", "é", "e\u0301", "\u2028", "\ufffd", "\U0001f600", "a\x80", "a\x81",
	strings.Repeat("n", 255), strings.Repeat("\xff", 255), strings.Repeat("n", 254) + "m",
}

func (m *mutator) name() string {
	if m.IntN(5) > 0 {
		return hardNames[m.IntN(6)]
	}
	if m.IntN(8) == 0 {
		return fmt.Sprint(m.IntN(1000))
	}
	return hardNames[m.IntN(len(hardNames))]
}
