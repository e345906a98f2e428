package watch

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/internal/files"
)

func TestUnreadableDirectories(t *testing.T) {
	if !inChild(t, nobody()) {
		return
	}
	dir := in(t)
	shell(t, dir, "mkdir -p open shut/below list; touch open/a shut/b shut/below/c list/d; chmod 0 shut; chmod 444 list; touch e")
	t.Cleanup(func() { shell(t, dir, "chmod -R u+rwX .") })
	for _, o := range []Options{
		{Notify: true, Poll: 20 * time.Millisecond, Recursive: true}, // rights give no notification
		{Poll: 2 * time.Millisecond, Recursive: true},
	} {
		s := start(t, dir, o)
		s.convergeTo("e", "list/d", "open/a")
		s.until("an unreadable directory", func(v files.View) bool { return v.Unreadable == 1 })
		shell(t, dir, "touch open/f; mkdir new; touch new/g; chmod 300 new")
		s.convergeTo("e", "list/d", "open/a", "open/f")
		s.until("another unreadable directory", func(v files.View) bool { return v.Unreadable == 2 })
		shell(t, dir, "chmod 700 shut new list; chmod 0 open")
		s.convergeTo("e", "list/d", "new/g", "shut/b", "shut/below/c")
		shell(t, dir, "touch shut/below/h new/i")
		s.convergeTo("e", "list/d", "new/g", "new/i", "shut/b", "shut/below/c", "shut/below/h")
		shell(t, dir, "chmod 600 shut") // listed, but what is below cannot be reached
		s.convergeTo("e", "list/d", "new/g", "new/i", "shut/b")
		s.until("two unreadable directories", func(v files.View) bool { return v.Unreadable == 2 })
		shell(t, dir, "chmod 700 shut open")
		s.converge()
		s.until("nothing unreadable", func(v files.View) bool { return v.Unreadable == 0 })
		if n := s.logs.FilterMessage("directory unreadable").Len(); n > 6 {
			t.Errorf("%d warnings of 4 directories", n)
		}
		s.stop()
		shell(t, dir, "rm -rf new open/f shut/below/h; chmod 0 shut; chmod 444 list")
	}
}

// A directory of another user that can be read and not searched is listed as find
// lists it, except for what is below its subdirectories.
func TestReadableAndNotSearchable(t *testing.T) {
	if !inChild(t, nobody(), "mkdir -p dir/list/sub dir/open; cd dir; touch list/a list/b list/sub/c open/d e; chmod 744 list; chmod 755 .") {
		return
	}
	dir, err := filepath.Abs("dir")
	must(t, err)
	for _, o := range []Options{
		{Notify: true, Poll: time.Hour, Recursive: true},
		{Poll: 2 * time.Millisecond, Recursive: true},
	} {
		s := start(t, dir, o)
		s.convergeTo("e", "list/a", "list/b", "open/d")
		s.until("the subdirectory to be named", func(v files.View) bool {
			return v.Unreadable == 1 && strings.Contains(v.Incomplete, "list/sub cannot be read: permission denied")
		})
		s.answered(s.Rescan())
		s.convergeTo("e", "list/a", "list/b", "open/d")
		s.stop()
	}
	if _, err := Claim(dir + "/list"); err == nil || !strings.Contains(err.Error(), "cannot be read and searched") {
		t.Errorf("claim of a directory that cannot be searched: %v", err)
	}
}

func TestWatchedDirectoryUnreadable(t *testing.T) {
	if !inChild(t, nobody()) {
		return
	}
	eachMode(t, func(t *testing.T, o Options) {
		dir := in(t)
		shell(t, dir, "mkdir d; touch a d/b")
		s := start(t, dir, o)
		s.converge()
		for _, mode := range []os.FileMode{0, 0o400, 0o100} {
			if err := os.Chmod(dir, mode); err != nil {
				t.Fatal(err)
			}
			s.unavailable("permission denied")
			if _, err := Claim(dir); err == nil || !strings.Contains(err.Error(), "cannot be read and searched") {
				t.Errorf("claim with mode %o: %v", mode, err)
			}
			if err := os.Chmod(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			s.converge()
		}
	})
}

func setLimit(t *testing.T, name, n string) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/user/"+name, []byte(n), 0o644); err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
}

func TestWatchLimit(t *testing.T) {
	if !inChild(t, namespace()) {
		return
	}
	setLimit(t, "max_inotify_watches", "20")
	dir := in(t)
	shell(t, dir, "seq -f d%g/e 30 | xargs mkdir -p; for i in d*; do : > $i/f; done")
	s := start(t, dir, Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true})
	s.converge()
	s.until("some directories polled", func(v files.View) bool { return v.Polled == 61-20 })
	s.logged("watch limit reached")
	shell(t, dir, "for i in d*; do : > $i/g; : > $i/e/h; mkdir $i/n; : >$i/n/o; done")
	s.converge()
	setLimit(t, "max_inotify_watches", "1000")
	s.until("all directories watched", func(v files.View) bool { return v.Polled == 0 })
	shell(t, dir, "for i in d*; do : > $i/i; : > $i/e/j; done; rm -r d1*")
	s.converge()
	if n := s.logs.FilterMessage("watch limit reached").Len(); n != 1 {
		t.Errorf("%d warnings of the watch limit, want 1", n)
	}
}

func TestNoMoreInstances(t *testing.T) {
	if !inChild(t, namespace()) {
		return
	}
	setLimit(t, "max_inotify_instances", "0")
	dir := in(t)
	shell(t, dir, "mkdir -p a/b; touch a/b/c")
	s := start(t, dir, Options{Notify: true, Poll: 20 * time.Millisecond, Recursive: true})
	s.converge()
	s.until("all directories polled", func(v files.View) bool { return v.Polled == 3 })
	s.logged("watches unavailable")
	shell(t, dir, "touch d a/b/e")
	s.converge()
	setLimit(t, "max_inotify_instances", "10")
	s.until("all directories watched", func(v files.View) bool { return v.Polled == 0 })
}

// Watches are renewed even if there is no room for those of two generations.
func TestRenewalWithinTheLimits(t *testing.T) {
	if !inChild(t, namespace()) {
		return
	}
	for limit, most := range map[string]string{"max_inotify_watches": "50", "max_inotify_instances": "1"} {
		setLimit(t, limit, most)
		dir := in(t)
		shell(t, dir, "mkdir {1..40} ../archive")
		s := start(t, dir, modes[0].options)
		s.until("all watches", func(v files.View) bool { return v.Set != nil && v.Polled == 0 && watches(t) == 41 })
		shell(t, dir, "mv {1..20} ../archive")
		s.until("fewer watches", func(v files.View) bool { return v.Polled == 0 && watches(t) == 21 })
		shell(t, dir, "touch {21..40}/f")
		s.converge()
		if n := s.logs.FilterMessage("watch limit reached").Len() + s.logs.FilterMessage("watches unavailable").Len(); n > 0 {
			t.Errorf("%s: %d warnings", limit, n)
		}
		s.stop()
		setLimit(t, limit, "1000")
	}
}

// What the process has too little of says nothing about the directory.
func TestOutOfDescriptors(t *testing.T) {
	if !inChild(t, nobody()) {
		return
	}
	dir := in(t)
	shell(t, dir, "mkdir -p a/b; touch a/b/c")
	s := start(t, dir, Options{Poll: 5 * time.Millisecond, Recursive: true})
	s.converge()
	restore := exhaust(t)
	if err := os.Remove(dir + "/a/b/c"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/a/d", 0o755); err != nil {
		t.Fatal(err)
	}
	s.logged("directory not looked at")
	for end := time.Now().Add(checkEvery * 3 / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if v := s.View(); v.Set == nil || v.Set.Len() != 1 {
			restore()
			t.Fatalf("without descriptors the view is %s", describe(v))
		}
	}
	restore()
	shell(t, dir, "touch a/d/e")
	s.converge()
}

// exhaust leaves the process without descriptors until restored.
func exhaust(t *testing.T) (restore func()) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	none := was
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
			t.Fatal(err)
		}
	}
}

// A directory that could not be looked at for want of descriptors is looked at at
// the next poll, even if the patrol is not to come to it for long.
func TestLookedAtOnceThereAreDescriptors(t *testing.T) {
	if !inChild(t, nobody()) {
		return
	}
	dir := in(t)
	shell(t, dir, "mkdir -p a/b")
	f := scanned(t, dir, realNotifier)
	f.patrol.budget.Spend(time.Hour)
	write(t, dir+"/a/b/c") // its event is not read
	restore := exhaust(t)
	f.verify(f.root.find("a/b"))
	f.examineNames(f.root.find("a/b"), map[string]change{"c": 0})
	restore()
	f.poll()
	f.commit()
	if !f.set.Contains([]byte("a/b/c")) {
		t.Error("the poll has not found what was made meanwhile")
	}
}

// A look for which the process has too little is not said to be done.
func TestLookOutOfDescriptors(t *testing.T) {
	if !inChild(t, nobody()) {
		return
	}
	dir := in(t)
	shell(t, dir, "mkdir -p a/b; touch a/b/c")
	s := start(t, dir, Options{Poll: time.Hour, Recursive: true})
	s.exact()
	restore := exhaust(t)
	if err := os.Mkdir(dir+"/a/d", 0o755); err != nil {
		t.Fatal(err)
	}
	look := s.Rescan()
	s.logged("directory not looked at")
	select {
	case <-look:
		restore()
		t.Fatalf("without descriptors a look was done: view is %s", describe(s.View()))
	case <-time.After(2 * retryEvery):
	}
	restore()
	s.answered(look)
	s.exact()
}
