package watch

import (
	"os"
	"strings"
	"testing"
	"time"

	"scout/internal/files"
)

func TestBadOptions(t *testing.T) {
	c, err := Claim(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	for _, test := range []struct {
		options Options
		want    string
	}{
		{Options{Exclude: []string{"*.tmp", "a[b"}}, `"a[b" is not a glob pattern`},
		{Options{Exclude: []string{"{a,b"}}, `"{a,b" is not a glob pattern`},
		{Options{Exclude: []string{""}}, "a pattern is empty"},
		{Options{Exclude: []string{"/srv/data/tmp"}}, `"/srv/data/tmp" can match nothing`},
		{Options{Exclude: []string{"./build"}}, `"./build" can match nothing`},
		{Options{Exclude: []string{"build/"}}, "leave out the slash"},
		{Options{Poll: -time.Second}, "must be positive"},
	} {
		if _, err := New(c, test.options); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("options %+v: %v, want %s", test.options, err, test.want)
		}
	}
}

func TestExclude(t *testing.T) {
	eachMode(t, func(t *testing.T, o Options) {
		o.Exclude = []string{"*.tmp", "**/cache", "logs/**/*.gz", "build"}
		dir := in(t)
		build := `mkdir -p cache/x d/cache/y logs/old build/z d/build; touch a a.tmp cache/1 cache/x/2 d/3 d/a.tmp d/cache/4 d/cache/y/5 logs/6.gz logs/7 logs/old/8.gz logs/old/9 build/10 d/build/11`
		shell(t, dir, build)
		want := []string{"a", "d/3", "d/a.tmp", "d/build/11", "logs/7", "logs/old/9"}
		s := start(t, dir, o)
		s.convergeTo(want...)
		shell(t, dir, "rm -r *")
		s.convergeTo()
		shell(t, dir, build+"; touch z")
		s.convergeTo(append(want, "z")...)
	})
}

func TestExcludedDirectoriesAreNotWatched(t *testing.T) {
	n := new(fakeNotifier)
	dir := in(t)
	shell(t, dir, "mkdir -p cache/x d/cache/y e; touch cache/x/1 e/2")
	o := modes[0].options
	o.Exclude = []string{"**/cache"}
	s := start(t, dir, o, func(w *Watcher) { w.notify = func(*router) notifier { return n } })
	s.convergeTo("e/2")
	s.until("everything is watched", func(v files.View) bool { return v.Polled == 0 })
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.watched) != 3 {
		t.Errorf("watched %v, want the directory, d and e", n.watched)
	}
}

func TestNotRecursive(t *testing.T) {
	eachMode(t, func(t *testing.T, o Options) {
		o.Recursive = false
		dir := in(t)
		shell(t, dir, "mkdir -p d/e; touch a d/b d/e/c; ln -s d l")
		s := start(t, dir, o)
		s.convergeTo("a", "l")
		shell(t, dir, "touch d/f g; mkdir h; touch h/i; mv d/b b; mv a d")
		s.convergeTo("b", "g", "l")
		shell(t, dir, "rm g; mkdir g; touch g/x; rm -r h; touch h")
		s.convergeTo("b", "h", "l")
	})
}

// A path may have more parts than the library can watch, and be longer than
// one that the system takes; a name that is too long for the list is left out.
func TestDeepAndLongPaths(t *testing.T) {
	eachMode(t, func(t *testing.T, o Options) {
		o.Poll = 20 * time.Millisecond
		dir := in(t)
		shell(t, dir, `for i in {1..200}; do mkdir d; cd d; touch f; done`)
		s := start(t, dir, o)
		s.converge()
		shell(t, dir, strings.Repeat("cd d; ", 190)+"touch late; mkdir e; touch e/f")
		s.converge()
		part := strings.Repeat("p", 250)
		// 15 × 251 = 3765; the directory's own path makes the whole longer than 4096.
		shell(t, dir, "rm -rf d; for i in {1..16}; do mkdir "+part+"; cd "+part+"; touch f; done; touch "+strings.Repeat("l", 79)+" "+strings.Repeat("l", 80)+" "+strings.Repeat("l", 81))
		long := strings.Repeat(part+"/", 16) + strings.Repeat("l", 80)
		s.until("all but one name", func(v files.View) bool {
			return contains(long)(v) && v.Set.Len() == 16+2 && v.Unreadable == 1
		})
		s.logged("names too long")
		shell(t, dir, "for i in {1..16}; do cd "+part+"; done; mkdir q; mkdir -p "+strings.Repeat("m", 100)+"; touch q/x; rm "+strings.Repeat("l", 81))
		s.until("a file in a long path", contains(strings.Repeat(part+"/", 16)+"q/x"))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		s.unavailable("does not exist")
	})
}
