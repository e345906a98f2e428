//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"scout/cmd/internal/testfleet"
)

// exchange swaps two things in one step.
func exchange(t *testing.T, a, b string) {
	t.Helper()
	must(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
}

// script is a scout on a directory of the test's own, without the poll.
func script(t *testing.T) (m *master, s *scout, at func(string) string) {
	t.Helper()
	return scriptIn(t, tempDir(t))
}

func scriptIn(t *testing.T, dir string) (m *master, s *scout, at func(string) string) {
	t.Helper()
	m = startMaster(t)
	s = startScout(t, m, "h", dir)
	return m, s, func(name string) string { return filepath.Join(dir, name) }
}

// Files in directories that are a moment old are listed, as deep as it goes.
func TestFilesInNewDirectories(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	for round := range rounds(3) {
		for i := range 100 {
			write(t, at(fmt.Sprintf("%d/%d/a/b", round, i)), "file")
		}
		converges(t, m, s)
	}
}

// A tree that is moved in is listed, and so is what then changes deep in it.
// Moved out again it is gone, and what changes there is nobody's concern.
func TestTreeMovedInAndOut(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	outside := filepath.Join(tempDir(t), "tree")
	for i := range 50 {
		write(t, outside, fmt.Sprintf("%d/x/y/z", i), "file")
	}
	for round := range rounds(5) {
		must(t, os.Rename(outside, at("tree")))
		for i := range 50 {
			write(t, at("tree"), fmt.Sprintf("%d/x/y/z", i), fmt.Sprint("later ", round))
		}
		converges(t, m, s)
		must(t, os.Rename(at("tree"), outside))
		for i := range 50 {
			write(t, outside, fmt.Sprintf("%d/x/y/z", i), fmt.Sprint("outside ", round))
		}
		write(t, s.dir, "beside")
		converges(t, m, s)
		must(t, os.Remove(at("beside")))
	}
}

// A directory removed and made again under its name is followed like the first.
func TestSubdirectoryRemade(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	write(t, at("a/b"), "x")
	converges(t, m, s)
	for i := range rounds(30) {
		must(t, os.RemoveAll(at("a")))
		must(t, os.MkdirAll(at("a/b"), 0o755))
		if i%2 == 0 {
			converges(t, m, s)
		}
		write(t, at("a/b"), fmt.Sprint(i))
		converges(t, m, s)
		write(t, at("a"), fmt.Sprint("later ", i))
		converges(t, m, s)
	}
}

// Directories that change places, by three renames or in one step, are followed
// under their new names.
func TestDirectoriesChangePlaces(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	write(t, at("one/sub"), "1")
	write(t, at("two/sub"), "2")
	write(t, at("two"), "22")
	converges(t, m, s)
	for i := range 20 {
		if i%2 == 0 {
			exchange(t, at("one"), at("two"))
		} else {
			must(t, os.Rename(at("one"), at("three")))
			must(t, os.Rename(at("two"), at("one")))
			must(t, os.Rename(at("three"), at("two")))
		}
		if i%4 < 2 {
			converges(t, m, s)
		}
		write(t, at("one/sub"), fmt.Sprint("one ", i))
		write(t, at("two/sub"), fmt.Sprint("two ", i))
		write(t, at("one"), fmt.Sprint("top ", i))
		converges(t, m, s)
	}
	exchange(t, at("one"), at("two/22"))
	write(t, at("two/22/sub"), "in there")
	converges(t, m, s)
}

// Directories whose names begin alike do not get into each other's way.
func TestNamesThatBeginAlike(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	names := []string{"ab", "abc", "ab.c", "ab c", "ab-", "a"}
	for _, name := range names {
		write(t, at(name), "x")
		write(t, at(name+"/sub"), "y")
		write(t, at(name+"~"))
	}
	converges(t, m, s)
	must(t, os.Rename(at("ab"), at("zz")))
	for _, name := range names[1:] {
		write(t, at(name+"/sub"), "later")
	}
	converges(t, m, s)
	must(t, os.RemoveAll(at("a")))
	must(t, os.RemoveAll(at("zz")))
	for _, name := range names[1:5] {
		write(t, at(name), "later still")
	}
	converges(t, m, s)
}

// A large directory renamed again and again: the list follows within seconds,
// and the master answers throughout.
func TestLargeDirectoryRenamed(t *testing.T) {
	t.Parallel()
	n := 50_000
	if raced || testing.Short() {
		n = 5_000
	}
	m, s, at := scriptIn(t, roomyDir(t))
	must(t, os.Mkdir(at("0"), 0o755))
	create(t, at("0"), n)
	converges(t, m, s)
	worst := answers(t, m)
	for i := range 20 {
		must(t, os.Rename(at(fmt.Sprint(i)), at(fmt.Sprint(i+1))))
		if i%5 == 0 {
			time.Sleep(20 * time.Millisecond) // let some of them be seen
		}
	}
	took := convergesWithin(t, time.Minute, m, s)
	t.Logf("converged %s after the last; the slowest answer took %s", took, worst())
	if worst() > soon {
		t.Errorf("an answer took %s", worst())
	}
}

// answers asks a master for a short list again and again. What it returns ends
// that, and tells how long the slowest answer took.
func answers(t *testing.T, m *master) (worst func() time.Duration) {
	t.Helper()
	var slowest time.Duration
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			began := time.Now()
			if _, err := m.Get("/files?prefix=none"); err != nil {
				t.Errorf("the master does not answer: %v", err)
				return
			}
			slowest = max(slowest, time.Since(began))
		}
	}()
	end := sync.OnceFunc(func() { close(stop); <-ended })
	t.Cleanup(end)
	return func() time.Duration { end(); return slowest }
}

// Under constant churn, which no silence ever ends, another change is listed
// at once all the same.
func TestConstantChurn(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			name := at(fmt.Sprint("churn", i%2))
			os.WriteFile(name, []byte(fmt.Sprint(i)), 0o600)
			os.Remove(at(fmt.Sprint("churn", 1-i%2)))
		}
	}()
	var worst time.Duration
	for i := range 30 {
		name := fmt.Sprintf("sub%d/file", i)
		write(t, s.dir, name)
		took := within(t, patience, func() error {
			entries, err := m.Files()
			if slices.Contains(testfleet.Names(entries, s.host, s.dir), name) {
				return nil
			}
			return first(err, fmt.Errorf("%s is not listed", name))
		})
		worst = max(worst, took)
	}
	t.Logf("the slowest took %s", worst)
	if worst > soon {
		t.Errorf("one took %s", worst)
	}
	close(stop)
	<-ended
	converges(t, m, s)
}

// Of two hard links the right one goes, and a file keeps its other names.
func TestHardLinks(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	for i := range rounds(20) {
		write(t, s.dir, "one")
		must(t, os.Mkdir(at("sub"), 0o755))
		must(t, os.Link(at("one"), at("two")))
		must(t, os.Link(at("one"), at("sub/three")))
		must(t, os.Remove(at("one")))
		if i%2 == 0 {
			converges(t, m, s)
		}
		must(t, os.Rename(at("sub/three"), at("two"))) // the same file: nothing happens
		converges(t, m, s)
		must(t, os.Remove(at("two")))
		converges(t, m, s)
		must(t, os.RemoveAll(at("sub")))
	}
}

// Links are listed as themselves; what they lead to is neither read nor
// followed, be it themselves, what is above, or what is out of the tree.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	outside := tempDir(t)
	write(t, outside, "secret")
	must(t, os.MkdirAll(at("a/b"), 0o755))
	for name, target := range map[string]string{
		"self": "self", "up": "..", "a/b/up": "../..", "here": ".", "out": outside, "file": filepath.Join(outside, "secret"),
		"one": "other", "other": "one", "root": "/", "none": "none at all", "long": strings.Repeat("x/", 2000) + "x",
	} {
		must(t, os.Symlink(target, at(name)))
	}
	converges(t, m, s)
	write(t, outside, "another")
	write(t, at("a/b"), "new")
	converges(t, m, s)
	// A link that takes a directory's place, and the other way round.
	must(t, os.Remove(at("out")))
	must(t, os.MkdirAll(at("out/sub"), 0o755))
	write(t, at("out/sub"), "in")
	converges(t, m, s)
	must(t, os.RemoveAll(at("a")))
	must(t, os.Symlink(outside, at("a")))
	write(t, outside, "third")
	converges(t, m, s)
}

// A subdirectory that cannot be read is left out, warned of once and counted;
// the rest is listed, and so is it when it can be read again.
func TestUnreadableSubdirectory(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("private/deep"), "secret")
	write(t, at("public"), "file")
	must(t, os.Chmod(at("private"), 0))
	t.Cleanup(func() { os.Chmod(at("private"), 0o755); os.Chmod(at("public"), 0o755) })
	m := startMaster(t, "-heartbeat", "200ms")
	s := launchScout(t, asNobody(scoutCommand(m.GRPC, "h", dir, "-poll", "100ms")), "h", dir)
	within(t, patience, func() error { return m.lists("h", dir, "public/file") })
	if e := await(t, m.Process, "scout degraded"); e.Number("unreadable") != 1 {
		t.Errorf("%v", e)
	}
	write(t, at("public"), "more")
	within(t, patience, func() error { return m.lists("h", dir, "public/file", "public/more") })
	must(t, os.Chmod(at("private"), 0o755))
	converges(t, m, s)
	await(t, m.Process, "scout recovered")
	must(t, os.Chmod(at("public"), 0o111))
	within(t, patience, func() error { return m.lists("h", dir, "private/deep/secret") })
	must(t, os.Chmod(at("public"), 0o755))
	converges(t, m, s)
	within(t, patience, func() error { // the log comes by a way of its own
		if n := len(events(s.Process, 0, "directory unreadable")); n != 2 {
			return fmt.Errorf("it was warned of %d times, not of two directories once", n)
		}
		return nil
	})
}

// create makes n files as fast as the disk allows.
func create(t *testing.T, dir string, n int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_PATH, 0)
	must(t, err)
	defer unix.Close(fd)
	errs := make(chan error, 2)
	for worker := range cap(errs) {
		go func() {
			for i := worker; i < n; i += cap(errs) {
				f, err := unix.Openat(fd, fmt.Sprintf("%07d", i), unix.O_CREAT|unix.O_WRONLY, 0o600)
				if err != nil {
					errs <- err
					return
				}
				unix.Close(f)
			}
			errs <- nil
		}()
	}
	must(t, first(<-errs, <-errs))
}

// Directories that become links to where they are, or to what is watched
// elsewhere, and back: links are listed as themselves, nothing behind them is,
// and what they lead to is still followed.
func TestDirectoriesBecomeLinks(t *testing.T) {
	t.Parallel()
	m, s, at := script(t)
	must(t, os.MkdirAll(at("other/deep"), 0o755))
	c := consume(t, m)
	for range rounds(20) {
		for _, target := range linkTargets(s.dir) {
			becomeLink(t, at("x"), target)
			probe(t, m, s)
			must(t, os.Remove(at("x")))
		}
	}
	c.done()
}

// The same, too fast to be followed: a watch set on what is a link for just that
// moment takes away that of what it leads to. The poll finds what is missed.
func TestDirectoriesAreLinksForMoments(t *testing.T) {
	t.Parallel()
	m, dir := startMaster(t), tempDir(t)
	must(t, os.MkdirAll(filepath.Join(dir, "other/deep"), 0o755))
	s := startScout(t, m, "h", dir, "-poll", "300ms")
	c := consume(t, m)
	for range rounds(10) {
		for _, target := range linkTargets(dir) {
			for range 10 {
				becomeLink(t, filepath.Join(dir, "x"), target)
				must(t, os.Remove(filepath.Join(dir, "x")))
			}
		}
		probe(t, m, s)
	}
	c.done()
}

func linkTargets(dir string) []string { return []string{".", dir, "other", "other/deep", "/etc"} }

// becomeLink makes a directory, and a link to the target of it.
func becomeLink(t *testing.T, path, target string) {
	t.Helper()
	must(t, os.Mkdir(path, 0o755))
	must(t, os.Remove(path))
	must(t, os.Symlink(target, path))
}

// probe checks that what comes and goes everywhere is seen.
func probe(t *testing.T, m *master, s *scout) {
	t.Helper()
	names := []string{"probe", "other/probe", "other/deep/probe"}
	for _, name := range names {
		write(t, s.dir, name)
	}
	converges(t, m, s)
	for _, name := range names {
		must(t, os.Remove(filepath.Join(s.dir, name)))
	}
	converges(t, m, s)
}
