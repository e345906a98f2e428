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
	dir := tempDir(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	must(t, os.MkdirAll(at("other/deep"), 0o755))
	m := startMaster(t)
	s := startScout(t, m, "h", dir)
	c := consume(t, m)
	for range 60 {
		for _, target := range []string{".", dir, "other", "other/deep", "/etc"} {
			for range 10 {
				must(t, os.Mkdir(at("x"), 0o755))
				must(t, os.Remove(at("x")))
				must(t, os.Symlink(target, at("x")))
				must(t, os.Remove(at("x")))
			}
		}
		for _, name := range []string{"probe", "other/probe", "other/deep/probe"} {
			write(t, dir, name)
		}
		converges(t, m, s)
		for _, name := range []string{"probe", "other/probe", "other/deep/probe"} {
			must(t, os.Remove(at(name)))
		}
		converges(t, m, s)
	}
	c.done()
}
