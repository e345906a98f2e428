//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"scout/cmd/internal/testfleet"
)

// rooted is a scout whose directory a test takes away.
type rooted struct {
	*scout
	master   *master
	consumer *consumer
	parent   string
}

func startRooted(t *testing.T) *rooted {
	t.Helper()
	r := &rooted{master: startMaster(t), parent: tempDir(t)}
	dir := filepath.Join(r.parent, "dir")
	write(t, dir, "file")
	write(t, dir, "sub", "file")
	r.scout = startScout(t, r.master, "h", dir)
	converges(t, r.master, r.scout)
	r.consumer = consume(t, r.master)
	return r
}

// hidden waits until nothing is listed, for a reason that has the words.
func (r *rooted) hidden(t *testing.T, words string) {
	t.Helper()
	awaitAbsent(t, r.master, r.scout)
	within(t, patience, func() error {
		for _, e := range r.master.Logged(0, "scout hidden") {
			if strings.Contains(e.Text("reason"), words) {
				return nil
			}
		}
		return fmt.Errorf("no scout is hidden with %q: %s", words, r.master.Tail())
	})
	r.consumer.isDead(r.scout)
}

// back waits until the list is exact again, and stays so as files come.
func (r *rooted) back(t *testing.T) {
	t.Helper()
	r.consumer.isBack(r.scout)
	converges(t, r.master, r.scout)
	write(t, r.dir, "new", "file")
	write(t, r.dir, "another")
	converges(t, r.master, r.scout)
	never(t, r.master.Process, 0, "scout dropped", "protocol violation", "copy differs")
}

// The directory itself removed: nothing is listed, and the reason is. Made
// again, it is listed exactly, and the registration was kept throughout.
func TestDirectoryRemoved(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	for range 3 {
		must(t, os.RemoveAll(r.dir))
		r.hidden(t, "does not exist")
		write(t, r.dir, "x", "y")
		r.back(t)
	}
}

// The directory removed and made again in the same moment.
func TestDirectoryRemadeAtOnce(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	for i := range 20 {
		must(t, os.RemoveAll(r.dir))
		write(t, r.dir, "sub", fmt.Sprint(i))
		if i%4 == 3 {
			r.back(t)
		}
	}
}

// The directory moved away and back, with changes in between, and its parent.
func TestDirectoryMovedAway(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	away := filepath.Join(r.parent, "away")
	must(t, os.Rename(r.dir, away))
	r.hidden(t, "does not exist")
	write(t, away, "sub", "made meanwhile")
	must(t, os.Remove(filepath.Join(away, "file")))
	must(t, os.Rename(away, r.dir))
	r.back(t)

	must(t, os.Rename(r.parent, r.parent+"2"))
	write(t, r.parent+"2", "dir", "made elsewhere")
	r.hidden(t, "does not exist")
	must(t, os.Rename(r.parent+"2", r.parent))
	r.back(t)
}

// A link in the place of the directory, or of one above, leads elsewhere:
// nothing from there is ever listed.
func TestDirectoryReplacedByLink(t *testing.T) {
	t.Parallel()
	elsewhere := dirOf(t, "dir/from elsewhere", "dir/sub/from elsewhere")
	for name, swap := range map[string]func(r *rooted) (from, to string){
		"itself": func(r *rooted) (string, string) { return filepath.Join(elsewhere, "dir"), r.dir },
		"above":  func(r *rooted) (string, string) { return elsewhere, r.parent },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startRooted(t)
			from, to := swap(r)
			must(t, os.Rename(to, to+"-away"))
			must(t, os.Symlink(from, to))
			r.hidden(t, "symbolic link")
			write(t, elsewhere, "dir", "later "+name)
			write(t, to+"-away", "made meanwhile")
			must(t, os.Remove(to))
			must(t, os.Rename(to+"-away", to))
			r.back(t)
		})
	}
}

// A file in the place of the directory.
func TestDirectoryReplacedByFile(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	must(t, os.RemoveAll(r.dir))
	must(t, os.WriteFile(r.dir, nil, 0o600))
	r.hidden(t, "not a directory")
	must(t, os.Remove(r.dir))
	write(t, r.dir, "x")
	r.back(t)
}

// Another directory in its place counts as back, and is claimed; what was there
// before is free.
func TestDirectoryReplacedByAnother(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	other, away := filepath.Join(r.parent, "other"), filepath.Join(r.parent, "away")
	write(t, other, "another")
	write(t, other, "sub", "another")
	must(t, os.Rename(r.dir, away))
	must(t, os.Rename(other, r.dir))
	r.back(t)
	if e := failure(t, launch(t, scoutCommand(r.master.GRPC, "x", r.dir))); !strings.Contains(e.Text("error"), "another scout") {
		t.Errorf("%v", e)
	}
	converges(t, r.master, r.scout, startScout(t, r.master, "h", away))
}

// Exchanged with another directory in one step, so that it is never missing.
func TestDirectoryExchanged(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	other := filepath.Join(r.parent, "other")
	write(t, other, "another")
	for range 5 {
		exchange(t, r.dir, other)
		r.back(t)
	}
}

// A directory put in its place that another scout watches stays that one's: it
// is listed once at most, and taken over when the other has left.
func TestDirectoryReplacedByWatched(t *testing.T) {
	t.Parallel()
	r := startRooted(t)
	other := filepath.Join(r.parent, "other")
	write(t, other, "others")
	o := startScout(t, r.master, "o", other)
	converges(t, r.master, r.scout, o)
	must(t, os.Rename(r.dir, filepath.Join(r.parent, "away")))
	must(t, os.Rename(other, r.dir))
	r.hidden(t, "watched by another scout")
	awaitAbsent(t, r.master, o)
	expectExit(t, o.Process, syscall.SIGTERM, stopTime)
	r.consumer.isBack(r.scout)
	converges(t, r.master, r.scout)
}

// Made unreadable, as far as the scout is concerned, and readable again.
func TestDirectoryUnreadable(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	parent := tempDir(t)
	dir := filepath.Join(parent, "dir")
	write(t, dir, "file")
	s := launchScout(t, asNobody(scoutCommand(m.GRPC, "h", dir)), "h", dir)
	t.Cleanup(func() { os.Chmod(parent, 0o755); os.Chmod(dir, 0o755) })
	for _, path := range []string{dir, parent} {
		converges(t, m, s)
		must(t, os.Chmod(path, 0o000))
		awaitAbsent(t, m, s)
		must(t, os.Chmod(path, 0o755))
		write(t, dir, "later", filepath.Base(path))
		converges(t, m, s)
	}
	for _, e := range m.Logged(0, "scout hidden") {
		if e.Text("reason") == "" {
			t.Errorf("%v", e)
		}
	}
}

// Unmounted: unavailable rather than empty, and exact when something is mounted
// there again.
func TestDirectoryUnmounted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	m := startMaster(t)
	dir, source := tempDir(t), tempDir(t)
	write(t, dir, "below the mount")
	write(t, source, "bound")
	mount := func(args ...string) {
		t.Helper()
		must(t, testfleet.Run(append(append([]string{"mount"}, args...), dir)...))
	}
	unmount := func() { syscall.Unmount(dir, syscall.MNT_DETACH) } // the scout has it open
	t.Cleanup(func() { unmount(); unmount() })

	mount("-t", "tmpfs", "tmpfs")
	write(t, dir, "mounted")
	write(t, dir, "sub", "mounted")
	r := &rooted{scout: startScout(t, m, "h", dir), master: m}
	converges(t, m, r.scout)
	r.consumer = consume(t, m)
	for _, again := range [][]string{{"-t", "tmpfs", "tmpfs"}, {"--bind", source}, {"--bind", source}} {
		unmount()
		r.hidden(t, "not mounted")
		mount(again...)
		r.back(t)
	}
}
