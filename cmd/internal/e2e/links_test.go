//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"testing"
)

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
