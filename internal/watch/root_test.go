package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"scout/internal/files"
)

func checkOften(w *Watcher) { w.check = 10 * time.Millisecond }

// What becomes of the watched directory itself.
func TestWatchedDirectoryItself(t *testing.T) {
	eachMode(t, func(t *testing.T, o Options) {
		tests := []struct {
			name, away, reason, back string
		}{
			{"removed and made again", `rm -r watched`, "does not exist", `rm -rf watched; mkdir -p watched/d; touch watched/d/new`},
			{"moved away and back", `mv watched elsewhere`, "does not exist", `touch elsewhere/more; mv elsewhere watched`},
			{"replaced by a file", `mv watched w; touch watched`, "not a directory", `rm watched; mv w watched`},
			{"replaced by a link", `mv watched w; mkdir o; touch o/secret; ln -s o watched`, "symbolic link", `rm watched; mv w watched`},
			{"replaced by a link to itself", `mv watched w; ln -s w watched`, "symbolic link", `rm watched; mkdir watched`},
			{"moved, and its parent too", `mkdir p; mv watched p; mv p q`, "does not exist", `mv q/watched .; rmdir q`},
		}
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				dir := in(t)
				shell(t, dir, "mkdir d; touch a d/b")
				s := start(t, dir, o, checkOften)
				s.converge()
				for range 2 {
					shell(t, filepath.Dir(dir), test.away)
					s.unavailable(test.reason)
					shell(t, filepath.Dir(dir), "rm -rf o; "+test.back)
					s.converge()
					shell(t, dir, "mkdir -p d/e; touch c d/e/f")
					s.converge()
				}
			})
		}
		t.Run("replaced by another", func(t *testing.T) {
			dir := in(t)
			s := start(t, dir, o, checkOften)
			for i := range 5 {
				shell(t, filepath.Dir(dir), fmt.Sprintf("mkdir next next/d; touch next/d/%d; mv watched old-%d; mv next watched", i, i))
				s.converge()
				write(t, fmt.Sprintf("%s/d/late-%d", dir, i))
				s.converge()
			}
		})
		t.Run("another that is claimed already", func(t *testing.T) {
			dir := in(t)
			s := start(t, dir, o)
			mkdir(t, dir+".other")
			rival, err := Claim(dir + ".other")
			if err != nil {
				t.Fatal(err)
			}
			shell(t, filepath.Dir(dir), "mv watched old; mv watched.other watched; touch watched/f")
			s.unavailable("watched by another scout")
			rival.Release()
			s.converge()
		})
	})
}

// A directory that cannot be served is tried again and again, and said to be so
// once.
func TestUnavailableOnce(t *testing.T) {
	var tries atomic.Int32
	dir := in(t)
	s := start(t, dir, modes[0].options, checkOften, func(w *Watcher) {
		create := w.notify
		w.notify = func(r *router) notifier {
			tries.Add(1)
			return create(r)
		}
	})
	s.converge()
	shell(t, filepath.Dir(dir), "mkdir elsewhere; mv watched w; ln -s elsewhere watched")
	s.unavailable("symbolic link")
	select {
	case <-s.Changed():
	default:
	}
	before := tries.Load()
	for tries.Load() < before+5 {
		time.Sleep(time.Millisecond)
	}
	select {
	case <-s.Changed():
		t.Errorf("the View has changed: it is %s", describe(s.View()))
	default:
	}
	said := s.logs.FilterMessage("directory unavailable").FilterField(zap.Error(errLink))
	if n := said.Len(); n != 1 {
		t.Errorf("%d lines say that the directory is unavailable", n)
	}
}

func TestUnmounted(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: to mount a file system needs root")
	}
	eachMode(t, func(t *testing.T, o Options) {
		dir := in(t)
		mount := func() { shell(t, dir, `mount -t tmpfs scout-test "$PWD"`) }
		t.Cleanup(func() { shell(t, "/", fmt.Sprintf("while umount -l %q; do :; done 2>/dev/null; true", dir)) })
		mount()
		write(t, dir+"/on-it")
		s := start(t, dir, o)
		s.converge()
		shell(t, "/", fmt.Sprintf("umount -l %q", dir))
		write(t, dir+"/under-it")
		s.unavailable("not mounted")
		mount()
		write(t, dir+"/again")
		s.converge()
		write(t, dir+"/late")
		s.converge()
	})
}

func TestMountBelow(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: to mount a file system needs root")
	}
	o := modes[0].options
	dir := in(t)
	shell(t, dir, "mkdir m; touch m/below")
	t.Cleanup(func() { shell(t, "/", fmt.Sprintf("while umount -l %q; do :; done 2>/dev/null; true", dir+"/m")) })
	s := start(t, dir, o)
	s.converge()
	for range 3 {
		shell(t, dir, "mount -t tmpfs scout-test $PWD/m; mkdir m/d; touch m/d/f")
		s.converge()
		shell(t, dir, "touch m/d/g")
		s.converge()
		shell(t, dir, "umount -l $PWD/m")
		s.converge()
	}
	shell(t, dir, "mkdir twin; mount --bind m twin; touch m/a twin/b")
	s.converge()
	s.until("both paths to be watched", func(v files.View) bool { return v.Polled == 0 && v.Incomplete == "" })
	for _, change := range []string{"touch m/c", "touch twin/d", "rm m/a", "mkdir m/e", "touch twin/e/f", "mkdir twin/g", "touch m/g/h", "rm -r twin/e"} {
		shell(t, dir, change)
		s.converge()
	}
	shell(t, dir, "umount -l $PWD/twin")
	s.converge()
	shell(t, dir, "touch m/i m/g/j")
	s.converge()
}

// An overlay shows a directory that was copied up as born anew.
func TestOverlay(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: to mount a file system needs root")
	}
	eachMode(t, func(t *testing.T, o Options) {
		dir := in(t)
		t.Cleanup(func() { shell(t, "/", fmt.Sprintf("umount -l %q %q || true", dir, dir+".t")) })
		shell(t, filepath.Dir(dir), `mkdir watched.t; mount -t tmpfs t watched.t; cd watched.t; mkdir -p l/top/d/e u w; touch l/top/a l/top/d/e/b
			mount -t overlay o -o lowerdir=$PWD/l,upperdir=$PWD/u,workdir=$PWD/w ../watched`)
		top := dir + "/top" // only below until something changes in it
		s := start(t, top, o)
		s.converge()
		for _, step := range []string{"touch c", "touch d/f", "touch g d/e/h; rm a", "rm d/e/b; mkdir d/i", "touch d/i/j d/k", "mv d/i l", "rm -r d"} {
			shell(t, top, step)
			s.converge()
		}
	})
}

// The list comes before the watches, and a Watcher that sets them ends at once
// when it is told to.
func TestListedBeforeWatched(t *testing.T) {
	dir := in(t)
	for i := range 50 {
		mkdir(t, fmt.Sprintf("%s/%d", dir, i))
		fill(t, fmt.Sprintf("%s/%d", dir, i), 20)
	}
	slow := &fakeNotifier{refuse: func(string) error { time.Sleep(50 * time.Millisecond); return nil }}
	s := start(t, dir, modes[0].options, func(w *Watcher) { w.notify = func(*router) notifier { return slow } })
	s.until("the list", func(v files.View) bool { return v.Set != nil && v.Set.Len() == 1000 && v.Polled > 40 })
	began := time.Now()
	s.stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("stopping took %s", took)
	}
}
