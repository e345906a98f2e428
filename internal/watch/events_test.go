package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"scout/internal/files"
)

func contains(name string) func(files.View) bool {
	return func(v files.View) bool { return v.Set != nil && v.Set.Contains([]byte(name)) }
}

// A path that the library knows must be watched again whatever directory is
// there now: each of these is another one than the library has seen.
func TestKnownPathIsWatchedAgain(t *testing.T) {
	dir := in(t)
	s := start(t, dir, modes[0].options)
	s.converge()
	for i := range 500 {
		mkdir(t, dir+"/d")
		s.until("watch", watched("d", s))
		name := fmt.Sprintf("d/%d", i)
		write(t, filepath.Join(dir, name))
		s.until(name, contains(name))
		if err := os.RemoveAll(dir + "/d"); err != nil {
			t.Fatal(err)
		}
		s.until("removal", func(v files.View) bool { return v.Set.Len() == 0 })
	}
}

// watched waits for a round that follows what has happened so far: a file made
// now and seen was made after.
func watched(name string, s *subject) func(files.View) bool {
	marker := name + "/marker"
	write(s.t, filepath.Join(s.dir, marker))
	return contains(marker)
}

func TestBurst(t *testing.T) {
	const n, writers = 100_000, 4
	dir := in(t)
	for i := range 100 {
		mkdir(t, fmt.Sprintf("%s/%d", dir, i))
	}
	s := start(t, dir, modes[0].options)
	s.converge()
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				write(t, fmt.Sprintf("%s/%d/%d", dir, i%100, i))
			}
		})
	}
	wg.Wait()
	s.until("all files", func(v files.View) bool { return v.Set.Len() == n })
	shell(t, dir, "rm -r [1-9]*")
	s.converge()
}

// What changes all the time must not keep a change elsewhere from being seen.
func TestChurnStarvesNobody(t *testing.T) {
	dir := in(t)
	mkdir(t, dir+"/quiet")
	s := start(t, dir, modes[0].options)
	s.converge()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				write(t, fmt.Sprintf("%s/churn-%d", dir, i%1000))
				_ = os.Remove(fmt.Sprintf("%s/churn-%d", dir, (i+500)%1000))
			}
		}
	})
	for i := range 20 {
		name := fmt.Sprintf("quiet/%d", i)
		write(t, filepath.Join(dir, name))
		s.until(name, contains(name))
	}
	close(stop)
	wg.Wait()
	s.converge()
}

func TestLargeDirectoryRenamedAgainAndAgain(t *testing.T) {
	eachMode(t, func(t *testing.T, o Options) {
		dir := in(t)
		mkdir(t, dir+"/d0/sub")
		fill(t, dir+"/d0", 50_000)
		write(t, dir+"/d0/sub/f")
		s := start(t, dir, o)
		s.converge()
		for i := range 20 {
			if err := os.Rename(fmt.Sprintf("%s/d%d", dir, i), fmt.Sprintf("%s/d%d", dir, i+1)); err != nil {
				t.Fatal(err)
			}
		}
		s.converge()
		write(t, dir+"/d20/sub/late")
		s.until("a late file", contains("d20/sub/late"))
	})
}

// Directories that trade places while they are looked at must not end up with
// watches that name each other's paths.
func TestExchangesUnderWay(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p a/s b/s c; touch a/s/1 b/s/2 c/3")
	s := start(t, dir, modes[0].options)
	s.converge()
	for round := range 50 {
		for range 10 {
			shell := [][2]string{{"a", "t"}, {"b", "a"}, {"t", "b"}, {"c", "b/s/c"}, {"b/s/c", "c"}}
			for _, m := range shell {
				if err := os.Rename(filepath.Join(dir, m[0]), filepath.Join(dir, m[1])); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, d := range []string{"a/s", "b/s", "c", "a", "b"} {
			name := fmt.Sprintf("%s/late-%d", d, round)
			write(t, filepath.Join(dir, name))
			s.until(name, contains(name))
		}
	}
	s.converge()
}

// A watch goes by the path, and another directory may be there by then.
func TestExchangedWhileItIsWatched(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir d; touch d/old; mkdir ../next; touch ../next/new")
	n := new(fakeNotifier)
	n.refuse = func(path string) error {
		if filepath.Base(path) == "d" && n.watched[path] == 0 {
			shell(t, dir, "mv d ../gone; mv ../next d")
		}
		return nil
	}
	f := scanned(t, dir, func(*Watcher) notifier { return n })
	if got := names(f.forest.View().Set); len(got) != 1 || got[0] != "d/new" {
		t.Errorf("listed %q, want what is there now", got)
	}
	if times := n.watched[filepath.Join(f.forest.claim.Dir(), "d")]; times != 2 {
		t.Errorf("watched %d times, want 2: once each directory", times)
	}
}
