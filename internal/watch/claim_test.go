package watch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClaimByEveryPath(t *testing.T) {
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(base, "data")
	mkdir(t, dir+"/sub")
	mkdir(t, base+"/else")
	for link, to := range map[string]string{"else/below": "../data/sub", "link": "data", "chain": "link", "up": "."} {
		if err := os.Symlink(to, filepath.Join(base, link)); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(base)
	for _, path := range []string{
		dir, dir + "/", "data", "./data/", "data/sub/..", "link", "link/", "chain", "up/up/data", base + "//data", "data/.",
		"else/below/..", "else/../up/link",
	} {
		c, err := Claim(path)
		if err != nil {
			t.Fatalf("claim %s: %v", path, err)
		}
		if c.Dir() != dir {
			t.Errorf("claim of %s is for %s, want %s", path, c.Dir(), dir)
		}
		for _, other := range []string{dir, "data/", "link", "chain"} {
			_, err := Claim(other)
			if err == nil || !strings.Contains(err.Error(), "watched by another scout on this machine") {
				t.Errorf("claim %s while %s is claimed: %v", other, path, err)
			}
		}
		sub, err := Claim("data/sub")
		if err != nil {
			t.Errorf("a claim is not for directories below: %v", err)
		} else {
			sub.Release()
		}
		c.Release()
		c.Release()
	}
}

func TestClaimRefused(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file")
	if err := os.Symlink("nowhere", dir+"/dangling"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", dir+"/loop"); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                       "name one",
		dir + "/missing":         "does not exist: create it",
		dir + "/missing/deep":    "does not exist",
		dir + "/file":            "is not a directory",
		dir + "/file/below":      "is not a directory",
		dir + "/dangling":        "does not exist",
		dir + "/loop":            "correct the links in its path or choose another directory",
		dir + "/\x00":            "choose another directory",
		strings.Repeat("x", 999): "give a shorter path or choose another directory",
	} {
		c, err := Claim(path)
		switch {
		case err == nil:
			c.Release()
			t.Errorf("claim of %.50q was granted", path)
		case !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("claim of %.50q: %v, want one line with %q", path, err, want)
		}
	}
}

func TestClaimNeedsNoPermissionToWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	c, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	c.Release()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("the claim left %v (%v)", entries, err)
	}
}

func TestClaimFollowsTheDirectory(t *testing.T) {
	dir := in(t)
	c, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	check := func(want error) {
		t.Helper()
		if err := c.checkPath(); err != want { //nolint:errorlint // these are not wrapped
			t.Errorf("check: %v, want %v", err, want)
		}
	}
	check(nil)
	if err := os.Rename(dir, dir+".moved"); err != nil {
		t.Fatal(err)
	}
	check(errMissing)
	write(t, dir)
	check(errNotDir)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(dir+".moved", dir); err != nil {
		t.Fatal(err)
	}
	check(errLink)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir)
	check(errReplaced)
	if err := c.renew(); err != nil {
		t.Errorf("renew: %v", err)
	}
	check(nil)
	if _, err := Claim(dir); err == nil {
		t.Error("the claim did not move to the new directory")
	}
	old, err := Claim(dir + ".moved")
	if err != nil {
		t.Fatalf("the old directory is still claimed: %v", err)
	}
	old.Release()

	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	mkdir(t, dir)
	rival, err := Claim(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.renew(); err != errElsewhere { //nolint:errorlint // it is not wrapped
		t.Errorf("renew while another holds it: %v", err)
	}
	rival.Release()
	if err := c.renew(); err != nil {
		t.Errorf("renew after the other has gone: %v", err)
	}
	c.Release()
	check(errReleased)
}
