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
		name   string
		status status
		want   bool
	}{
		{"just changed", status{modified: at(0), changed: at(-time.Millisecond)}, true},
		{"a tick ago", status{modified: at(-19 * time.Millisecond), changed: at(-19 * time.Millisecond)}, true},
		{"a moment ago", status{modified: at(-21 * time.Millisecond), changed: at(-21 * time.Millisecond)}, false},
		{"an old time set just now", status{modified: at(-time.Hour), changed: at(0)}, true},
		{"the clock was set back", status{modified: at(time.Hour), changed: at(time.Hour)}, false},
		{"in whole seconds, this one", status{modified: whole, changed: whole}, true},
		{"in whole seconds, long ago", status{modified: whole - 3e9, changed: whole - 3e9}, false},
	} {
		if got := test.status.isYoung(now.UnixNano()); got != test.want {
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
	if f.root.trust != trustEvents {
		t.Fatal("the stamp of a directory that changed just now is trusted")
	}
	write(t, dir+"/b")
	f.root.stamp = stampAt(t, f, "")
	f.poll()
	must(t, f.settle())
	if !contains("b")(f.forest.View()) {
		t.Error("the second change of one tick was missed")
	}
}

// The library follows links when it asks the kernel once more: what a link
// leads to must be watched under its own path all the same.
func TestLinkStealsNoWatch(t *testing.T) {
	dir := in(t)
	mkdir(t, dir+"/path")
	mkdir(t, dir+"/victim")
	f := scanned(t, dir, realNotifier)
	f.unwatch(f.root.sub("path"))
	if err := os.Remove(dir + "/path"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("victim", dir+"/path"); err != nil {
		t.Fatal(err)
	}
	f.watchSome()
	f.findStrayed()
	for f.canWatch() {
		f.watchSome()
	}
	write(t, dir+"/victim/file")
	for end := time.Now().Add(patience); ; {
		select {
		case <-f.events.ready:
		case <-time.After(time.Until(end)):
			t.Fatal("no hint named the file in its own directory")
		}
		if _, ok := f.events.take().names["victim"]["file"]; ok {
			return
		}
	}
}

// A change that does not fit what is known is a bug that must not last.
func TestBrokenTreeIsScannedAgain(t *testing.T) {
	dir := in(t)
	write(t, dir+"/a")
	f := scanned(t, dir, nil)
	f.change(f.root, []byte("never/there"), false)
	if err := f.settle(); err == nil {
		t.Error("a change that does not fit was taken")
	}
	if v := f.forest.View(); v.Set == nil || v.Set.Len() != 1 {
		t.Errorf("view is %s", describe(v))
	}
}
