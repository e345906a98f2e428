package watch

import (
	"os"
	"strings"
	"testing"
)

// settled returns a loop over dir whose directories have stood still.
func settled(t *testing.T, dir string) *following {
	t.Helper()
	f := scanned(t, dir, quietNotifier)
	look(f, 2)
	return f
}

func look(f *following, times int) {
	for range times {
		f.lookEverywhere()
	}
	f.publish(f.tree)
}

// anchored returns how many directories of the tree have an anchor.
func anchored(f *following) (n int) {
	f.tree.root.each(func(d *directory) {
		if d.anchor > 0 {
			n++
		}
	})
	return n
}

// descriptors returns how many are open of what is, or was, below dir.
func descriptors(t *testing.T, dir string) (n int) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if path, _ := os.Readlink("/proc/self/fd/" + fd.Name()); strings.HasPrefix(path, dir+"/") {
			n++
		}
	}
	return n
}

func TestAnchorsAreWeighed(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p a/b/c d/e f; touch a/b/c/file")
	f := settled(t, dir)
	if n := anchored(f); n != 6 {
		t.Fatalf("%d of 6 directories have an anchor", n)
	}
	left := f.tree.anchors.left
	shell(t, dir, "rm -r d; mv a g; rmdir f; touch f")
	look(f, 1)
	if n := descriptors(t, f.claim.Dir()); n != 0 || f.tree.anchors.left != left+6 {
		t.Errorf("%d descriptors are left of what is not there any more, and %d may be opened besides %d", n, f.tree.anchors.left, left)
	}
	look(f, 1)
	if n := descriptors(t, f.claim.Dir()); n != 3 || anchored(f) != 3 {
		t.Errorf("%d descriptors are open, %d of 3 directories have an anchor", n, anchored(f))
	}
	f.tree.close()
	if n := descriptors(t, f.claim.Dir()); n != 0 {
		t.Errorf("in the end %d descriptors are open", n)
	}
}

func TestAnchorsAreLimited(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir a b c d")
	f := scanned(t, dir, quietNotifier)
	f.tree.anchors.left = 2
	look(f, 2)
	if n := anchored(f); n != 2 {
		t.Errorf("%d directories have an anchor, want 2", n)
	}
	shell(t, dir, "rmdir a; touch c/file d/file")
	look(f, 2)
	if n, got := anchored(f), names(f.View().Set); n != 2 || len(got) != 2 {
		t.Errorf("%d directories have an anchor, want 2; files %q", n, got)
	}
}

// An anchor stays on its directory when that is moved: what is at the path
// counts.
func TestAnchoredDirectoryIsReplaced(t *testing.T) {
	for name, script := range map[string]string{
		"by another":          "mv a/d x; mkdir a/d; touch a/d/new",
		"by another, further": "mv a x; mkdir -p a/d; touch a/d/new",
		"by one that was":     "mv a/d x; mv b/d a/d; mv x b/d",
		"by itself":           "mv a/d x; touch x/new; mv x a/d",
		"by a file":           "mv a/d x; touch a/d",
		"by a link":           "mv a/d x; ln -s ../x a/d; touch x/new",
	} {
		t.Run(name, func(t *testing.T) {
			dir := in(t)
			shell(t, dir, "mkdir -p a/d b/d; touch a/d/old b/d/other")
			f := settled(t, dir)
			shell(t, dir, script)
			look(f, 1)
			if got, want := names(f.View().Set), find(t, dir); without(got, want) != nil || without(want, got) != nil {
				t.Errorf("files are %q, want %q", got, want)
			}
		})
	}
}

// What is mounted changes no directory.
func TestMountOverAnchoredDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: to mount a file system needs root")
	}
	dir := in(t)
	shell(t, dir, "mkdir -p a/d b/e; touch a/d/old b/e/other")
	t.Cleanup(func() { shell(t, "/", "while umount -l '"+dir+"/a'; do :; done 2>/dev/null; true") })
	f := settled(t, dir)
	for _, script := range []string{
		"mount -t tmpfs scout-test $PWD/a; mkdir a/d; touch a/d/new",
		"umount $PWD/a",         // nothing holds on to it
		"mount --bind $PWD/b a", // of the same file system
		"umount $PWD/a",
	} {
		shell(t, dir, script)
		look(f, 1)
		if got, want := names(f.View().Set), find(t, dir); without(got, want) != nil || without(want, got) != nil {
			t.Errorf("after %s files are %q, want %q", script, got, want)
		}
		look(f, 2)
	}
}
