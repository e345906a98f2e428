package watch

import (
	"os"
	"testing"
	"time"
)

func TestYoung(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	at := func(d time.Duration) int64 { return now.Add(d).UnixNano() }
	whole := now.Truncate(time.Second).UnixNano()
	for _, test := range []struct {
		name  string
		stamp stamp
		want  bool
	}{
		{"just changed", stamp{modified: at(0), changed: at(-time.Millisecond)}, true},
		{"a tick ago", stamp{modified: at(-19 * time.Millisecond), changed: at(-19 * time.Millisecond)}, true},
		{"a moment ago", stamp{modified: at(-21 * time.Millisecond), changed: at(-21 * time.Millisecond)}, false},
		{"an old time set just now", stamp{modified: at(-time.Hour), changed: at(0)}, true},
		{"the clock was set back", stamp{modified: at(time.Hour), changed: at(time.Hour)}, false},
		{"in whole seconds, this one", stamp{modified: whole, changed: whole}, true},
		{"in whole seconds, long ago", stamp{modified: whole - 3e9, changed: whole - 3e9}, false},
	} {
		if got := young(test.stamp, now); got != test.want {
			t.Errorf("%s: young is %v, want %v", test.name, got, test.want)
		}
	}
}

// A clock that ticks slowly gives one stamp to two changes. Here the second
// change's stamp is put in the place of the first's.
func TestYoungStampIsNotTrusted(t *testing.T) {
	dir := in(t)
	write(t, dir+"/a")
	f := scanned(t, dir, nil)
	root := f.tree.root
	if !root.racy {
		t.Fatal("the stamp of a directory that changed just now is trusted")
	}
	write(t, dir+"/b")
	var err error
	if root.stamp, _, err = f.tree.disk.stat(nil); err != nil {
		t.Fatal(err)
	}
	f.lookEverywhere()
	f.publish(f.tree)
	if !contains("b")(f.View()) {
		t.Error("the second change of one tick was missed")
	}
}

// What no hint and no stamp shows is found by listing a few directories with
// each poll.
func TestRareListing(t *testing.T) {
	dir := in(t)
	for _, d := range []string{"a", "b", "c"} {
		mkdir(t, dir+"/"+d)
		fill(t, dir+"/"+d, 10)
	}
	f := scanned(t, dir, nil)
	write(t, dir+"/b/hidden")
	f.tree.root.each(func(d *directory) {
		d.racy = false
		d.stamp, _, _ = f.tree.disk.stat(d.appendPath(nil))
	})
	f.lookEverywhere()
	f.publish(f.tree)
	if contains("b/hidden")(f.View()) {
		t.Fatal("the file is not hidden")
	}
	polls := 0
	for ; !contains("b/hidden")(f.View()); polls++ {
		if polls > 100 {
			t.Fatal("the file was never found")
		}
		f.counted = f.counted.Add(-50 * time.Millisecond) // 50 entries' worth
		f.lookEverywhere()
		f.verify()
		f.publish(f.tree)
	}
	if polls < 3 {
		t.Errorf("found after %d polls: too much was listed", polls)
	}
}

// The library follows links when it asks the kernel once more: what a link
// leads to must be watched under its own path all the same.
func TestLinkStealsNoWatch(t *testing.T) {
	dir := in(t)
	mkdir(t, dir+"/path")
	mkdir(t, dir+"/victim")
	f := scanned(t, dir, func(h *hints) notifier { return newLibrary(h) })
	if err := f.tree.notifier.watch(f.tree.absolute("path")); err != nil { // its events have grown
		t.Fatal(err)
	}
	if err := os.Remove(dir + "/path"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", dir+"/path"); err != nil {
		t.Fatal(err)
	}
	f.tree.tidy()
	write(t, dir+"/victim/file")
	for end := time.Now().Add(patience); ; {
		select {
		case <-f.hints.ready:
		case <-time.After(time.Until(end)):
			t.Fatal("no hint named the file in its own directory")
		}
		if _, ok := f.hints.take().names["victim"]["file"]; ok {
			return
		}
	}
}

// A change that does not fit what is known is a bug that must not last.
func TestBrokenTreeIsScannedAgain(t *testing.T) {
	dir := in(t)
	write(t, dir+"/a")
	f := scanned(t, dir, nil)
	f.tree.change(f.tree.root, []byte("never/there"), false)
	if err := f.settle(); err == nil {
		t.Error("a change that does not fit was taken")
	}
	if v := f.View(); v.Set == nil || v.Set.Len() != 1 {
		t.Errorf("view is %s", describe(v))
	}
}
