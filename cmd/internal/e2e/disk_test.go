//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exchange swaps two things in one step.
func exchange(t *testing.T, a, b string) {
	t.Helper()
	must(t, unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE))
}

// Files in directories that are a moment old are listed, as deep as it goes.
func TestFilesInNewDirectories(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	for round := range rounds(3) {
		for i := range 100 {
			write(t, s.at(fmt.Sprintf("%d/%d/a/b", round, i)), "file")
		}
		converges(t, m, s)
	}
}

// A tree that is moved in is listed, and so is what then changes deep in it.
// Moved out again it is gone, and what changes there is nobody's concern.
func TestTreeMovedInAndOut(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	outside := filepath.Join(tempDir(t), "tree")
	for i := range 50 {
		write(t, outside, fmt.Sprintf("%d/x/y/z", i), "file")
	}
	for round := range rounds(5) {
		must(t, os.Rename(outside, s.at("tree")))
		for i := range 50 {
			write(t, s.at("tree"), fmt.Sprintf("%d/x/y/z", i), fmt.Sprint("later ", round))
		}
		converges(t, m, s)
		must(t, os.Rename(s.at("tree"), outside))
		for i := range 50 {
			write(t, outside, fmt.Sprintf("%d/x/y/z", i), fmt.Sprint("outside ", round))
		}
		write(t, s.dir, "beside")
		converges(t, m, s)
		must(t, os.Remove(s.at("beside")))
	}
}

// A directory removed and made again under its name is followed like the first.
func TestSubdirectoryRemade(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	write(t, s.at("a/b"), "x")
	converges(t, m, s)
	for i := range rounds(30) {
		must(t, os.RemoveAll(s.at("a")))
		must(t, os.MkdirAll(s.at("a/b"), 0o755))
		if i%2 == 0 {
			converges(t, m, s)
		}
		write(t, s.at("a/b"), fmt.Sprint(i))
		converges(t, m, s)
		write(t, s.at("a"), fmt.Sprint("later ", i))
		converges(t, m, s)
	}
}

// Directories that change places, by three renames or in one step, are followed
// under their new names.
func TestDirectoriesChangePlaces(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	write(t, s.at("one/sub"), "1")
	write(t, s.at("two/sub"), "2")
	write(t, s.at("two"), "22")
	converges(t, m, s)
	for i := range 20 {
		if i%2 == 0 {
			exchange(t, s.at("one"), s.at("two"))
		} else {
			must(t, os.Rename(s.at("one"), s.at("three")))
			must(t, os.Rename(s.at("two"), s.at("one")))
			must(t, os.Rename(s.at("three"), s.at("two")))
		}
		if i%4 < 2 {
			converges(t, m, s)
		}
		write(t, s.at("one/sub"), fmt.Sprint("one ", i))
		write(t, s.at("two/sub"), fmt.Sprint("two ", i))
		write(t, s.at("one"), fmt.Sprint("top ", i))
		converges(t, m, s)
	}
	exchange(t, s.at("one"), s.at("two/22"))
	write(t, s.at("two/22/sub"), "in there")
	converges(t, m, s)
}

// Directories whose names begin alike do not get into each other's way.
func TestNamesThatBeginAlike(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	names := []string{"ab", "abc", "ab.c", "ab c", "ab-", "a"}
	for _, name := range names {
		write(t, s.at(name), "x")
		write(t, s.at(name+"/sub"), "y")
		write(t, s.at(name+"~"))
	}
	converges(t, m, s)
	must(t, os.Rename(s.at("ab"), s.at("zz")))
	for _, name := range names[1:] {
		write(t, s.at(name+"/sub"), "later")
	}
	converges(t, m, s)
	must(t, os.RemoveAll(s.at("a")))
	must(t, os.RemoveAll(s.at("zz")))
	for _, name := range names[1:5] {
		write(t, s.at(name), "later still")
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
	m, s := startPairIn(t, roomyDir(t))
	must(t, os.Mkdir(s.at("0"), 0o755))
	create(t, s.at("0"), n)
	converges(t, m, s)
	worst := answers(t, m)
	for i := range 20 {
		must(t, os.Rename(s.at(fmt.Sprint(i)), s.at(fmt.Sprint(i+1))))
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
	stop := repeat(t, 5*time.Millisecond, func() error {
		began := time.Now()
		_, err := m.Get("/files?prefix=none")
		slowest = max(slowest, time.Since(began))
		return err
	})
	return func() time.Duration {
		if err := stop(); err != nil {
			t.Errorf("the master does not answer: %v", err)
		}
		return slowest
	}
}

// Under constant churn, which no silence ever ends, another change is listed
// at once all the same.
func TestConstantChurn(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	stop := churn(t, 5*time.Millisecond, func(i int) string { return s.at(fmt.Sprint("churn", i%2)) })
	var worst time.Duration
	for i := range 30 {
		name := fmt.Sprintf("sub%d/file", i)
		write(t, s.dir, name)
		worst = max(worst, lookFor(t, m, name, true))
	}
	t.Logf("the slowest took %s", worst)
	if worst > soon {
		t.Errorf("one took %s", worst)
	}
	stop()
	converges(t, m, s)
}

// churn makes one file after the other and removes the one before, until stopped.
func churn(t *testing.T, pause time.Duration, path func(i int) string) (stop func() error) {
	t.Helper()
	i := 0
	return repeat(t, pause, func() error {
		err := os.WriteFile(path(i), nil, 0o600)
		os.Remove(path(i - 1))
		i++
		return err
	})
}

// Of two hard links the right one goes, and a file keeps its other names.
func TestHardLinks(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	for i := range rounds(20) {
		write(t, s.dir, "one")
		must(t, os.Mkdir(s.at("sub"), 0o755))
		must(t, os.Link(s.at("one"), s.at("two")))
		must(t, os.Link(s.at("one"), s.at("sub/three")))
		must(t, os.Remove(s.at("one")))
		if i%2 == 0 {
			converges(t, m, s)
		}
		must(t, os.Rename(s.at("sub/three"), s.at("two"))) // the same file: nothing happens
		converges(t, m, s)
		must(t, os.Remove(s.at("two")))
		converges(t, m, s)
		must(t, os.RemoveAll(s.at("sub")))
	}
}

// Links are listed as themselves; what they lead to is neither read nor
// followed, be it themselves, what is above, or what is out of the tree.
func TestLinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	outside := dirOf(t, "secret")
	must(t, os.MkdirAll(s.at("a/b"), 0o755))
	for name, target := range map[string]string{
		"self": "self", "up": "..", "a/b/up": "../..", "here": ".", "out": outside, "file": filepath.Join(outside, "secret"),
		"one": "other", "other": "one", "root": "/", "none": "none at all", "long": strings.Repeat("x/", 2000) + "x",
	} {
		must(t, os.Symlink(target, s.at(name)))
	}
	converges(t, m, s)
	write(t, outside, "another")
	write(t, s.at("a/b"), "new")
	converges(t, m, s)
	// A link that takes a directory's place, and the other way round.
	must(t, os.Remove(s.at("out")))
	must(t, os.MkdirAll(s.at("out/sub"), 0o755))
	write(t, s.at("out/sub"), "in")
	converges(t, m, s)
	must(t, os.RemoveAll(s.at("a")))
	must(t, os.Symlink(outside, s.at("a")))
	write(t, outside, "third")
	converges(t, m, s)
}

// A subdirectory that cannot be read is left out, warned of once and counted;
// the rest is listed, and so is it when it can be read again.
func TestUnreadableSubdirectory(t *testing.T) {
	t.Parallel()
	s := &scout{host: "h", dir: tempDir(t)}
	dir := s.dir
	write(t, s.at("private/deep"), "secret")
	write(t, s.at("public"), "file")
	must(t, os.Chmod(s.at("private"), 0))
	t.Cleanup(func() { os.Chmod(s.at("private"), 0o755); os.Chmod(s.at("public"), 0o755) })
	m := startMaster(t, "-heartbeat", "200ms")
	s.Process = launch(t, asNobody(scoutCommand(m.GRPC, "h", dir, "-poll", "100ms")))
	awaitList(t, m, "h", dir, "public/file")
	if e := await(t, m.Process, "scout degraded"); e.Number("unreadable") != 1 {
		t.Errorf("%v", e)
	}
	write(t, s.at("public"), "more")
	awaitList(t, m, "h", dir, "public/file", "public/more")
	must(t, os.Chmod(s.at("private"), 0o755))
	converges(t, m, s)
	await(t, m.Process, "scout recovered")
	must(t, os.Chmod(s.at("public"), 0o111))
	awaitList(t, m, "h", dir, "private/deep/secret")
	must(t, os.Chmod(s.at("public"), 0o755))
	converges(t, m, s)
	within(t, patience, func() error { // the log comes by a way of its own
		if n := len(s.Logged(0, "directory unreadable")); n != 2 {
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
	m, s := startPair(t, 0)
	must(t, os.MkdirAll(s.at("other/deep"), 0o755))
	c := consume(t, m)
	for range rounds(20) {
		for _, target := range linkTargets(s.dir) {
			becomeLink(t, s.at("x"), target)
			probe(t, m, s)
			must(t, os.Remove(s.at("x")))
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
