//go:build linux

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// One scout on a machine watches a directory. A second one is refused, whatever path,
// host name and master it has. Directories below and above can be watched.
func TestClaim(t *testing.T) {
	t.Parallel()
	root := tempDir(t)
	dir := filepath.Join(root, "dir")
	write(t, dir, "sub", "file")
	must(t, os.Symlink(dir, filepath.Join(root, "link")))
	must(t, os.Symlink("link", filepath.Join(root, "link2")))
	must(t, os.Symlink(root, filepath.Join(root, "up")))
	m, other := startMaster(t), startMaster(t)
	s := startScout(t, m, "h", dir)

	for _, path := range []string{
		dir, dir + "/", dir + "//", dir + "/.", dir + "/../dir", dir + "/sub/..", root + "/./dir", root + "/link", root + "/link/", root + "/link2",
		root + "/up/dir", root + "/up/link2/sub/../",
	} {
		t.Run(strings.TrimPrefix(path, root), func(t *testing.T) {
			t.Parallel()
			p := launch(t, scoutCommand(other.GRPC, "elsewhere", path))
			if e := failure(t, p); !strings.Contains(e.Text("error"), "is watched by another scout on this machine") {
				t.Errorf("%v", e)
			}
		})
	}
	for _, relative := range []string{"dir", "./dir/", "link", "../" + filepath.Base(root) + "/dir"} {
		t.Run("relative "+relative, func(t *testing.T) {
			t.Parallel()
			cmd := scoutCommand(m.GRPC, "elsewhere", relative)
			cmd.Dir = root
			if e := failure(t, launch(t, cmd)); !strings.Contains(e.Text("error"), "is watched by another scout on this machine") {
				t.Errorf("%v", e)
			}
		})
	}
	t.Run("below and above", func(t *testing.T) {
		below := startScout(t, m, "h", filepath.Join(dir, "sub"))
		above := startScout(t, m, "h", root)
		converges(t, m, s, below, above)
	})
}

// The files are listed under the real path of the directory, whatever path was given.
func TestResolvedDirectory(t *testing.T) {
	t.Parallel()
	root := tempDir(t)
	dir := filepath.Join(root, "dir")
	write(t, dir, "file")
	must(t, os.Symlink("dir", filepath.Join(root, "link")))
	m := startMaster(t)
	cmd := scoutCommand(m.GRPC, "h", "./link/../link/")
	cmd.Dir = root
	converges(t, m, launchScout(t, cmd, "h", dir))
}

// A directory whose path is not UTF-8 is listed with its exact bytes.
func TestDirectoryOfAnyName(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	var scouts []*scout
	for i, name := range []string{"\xff", "a\nb", "\"\\", " ", "...", "a...", "é\x80"} {
		dir := filepath.Join(tempDir(t), name)
		write(t, dir, "file")
		write(t, dir, "sub...", "\xfe")
		scouts = append(scouts, startScout(t, m, fmt.Sprint("h", i), dir))
		write(t, dir, "later")
		write(t, dir, "sub...", "later")
		write(t, dir, "...", "later")
	}
	converges(t, m, scouts...)
}

// A claim ends with the process that holds it, leaves nothing on disk, and needs
// no permission to write.
func TestClaimLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "file")
	must(t, os.Chmod(dir, 0o555))
	t.Cleanup(func() { os.Chmod(dir, 0o755) })
	before := everything(t, dir)
	m := startMaster(t)
	var s *scout
	for range 3 {
		s = launchScout(t, asNobody(scoutCommand(m.GRPC, "h", dir)), "h", dir)
		converges(t, m, s)
		began := time.Now()
		kill(t, s.Process)
		t.Logf("dead after %s", time.Since(began))
	}
	if after := everything(t, dir); after != before {
		t.Errorf("before:\n%safter:\n%s", before, after)
	}
}

// everything is all metadata of a directory.
func everything(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("find", dir, "-printf", `%p %i %m %u %s %T@ %C@\n`).Output()
	must(t, err)
	return string(out)
}
