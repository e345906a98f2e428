package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rjeczalik/notify"

	"scout/internal/files"
)

// watches returns how many watches this process holds.
func watches(t *testing.T) (n int) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fdinfo/*")
	must(t, err)
	for _, fd := range fds {
		info, err := os.ReadFile(fd)
		if err == nil {
			n += strings.Count(string(info), "\ninotify wd:")
		}
	}
	return n
}

// Several mounts may set the first watches of an instance at once. The race detector
// sees that the library's own beginning does not allow that.
func TestFirstWatchesAtOnce(t *testing.T) {
	dir := in(t)
	for range 100 {
		i := newInstance(make(chan notify.EventInfo, 10))
		var mounts sync.WaitGroup
		for range 4 {
			mounts.Go(func() {
				if err := i.watch(dir, eventSet); err != nil {
					t.Error(err)
				}
			})
		}
		mounts.Wait()
		i.close()
	}
}

// Instances of the library are independent, and a closed one leaves nothing.
func TestInstances(t *testing.T) {
	const directories = 1000
	dir := in(t)
	for i := range directories {
		mkdir(t, fmt.Sprintf("%s/%d", dir, i))
	}
	heap := func() int64 {
		runtime.GC()
		runtime.GC() // the first one runs a finalizer
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	told := make(chan notify.EventInfo, 10)
	other := newInstance(told)
	must(t, other.watch(dir+"/0", eventSet))
	before, memory, goroutines := watches(t), heap(), runtime.NumGoroutine()
	for range 10 {
		events := make(chan notify.EventInfo, 10)
		i := newInstance(events)
		for n := range directories {
			must(t, i.watch(fmt.Sprintf("%s/%d", dir, n), eventSet))
		}
		if n := watches(t) - before; n != directories {
			t.Fatalf("%d watches are held, want %d", n, directories)
		}
		write(t, dir+"/1/f")
		if e := <-events; e.Path() != dir+"/1/f" {
			t.Fatalf("told of %s", e.Path())
		}
		must(t, os.Remove(dir+"/1/f"))
		i.close()
	}
	if n := watches(t) - before; n != 0 {
		t.Errorf("%d watches are held by instances that are closed", n)
	}
	for end := time.Now().Add(patience); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 0 {
		t.Errorf("%d goroutines are kept by instances that are closed", n)
	}
	if n := heap() - memory; n > directories*100 {
		t.Errorf("%d bytes are kept by instances that are closed", n)
	}
	write(t, dir+"/0/f")
	if e := <-told; e.Path() != dir+"/0/f" {
		t.Errorf("told of %s", e.Path())
	}
	other.close()
}

// A directory that has left the tree holds no watch, and what happens in it is
// nothing to the scout.
func TestDirectoriesThatHaveLeftHoldNoWatch(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir ../archive keep; touch keep/f")
	before := watches(t)
	s := start(t, dir, modes[0].options)
	s.converge()
	for round := range 5 {
		shell(t, dir, "for i in {1..100}; do mkdir -p job$i/sub; touch job$i/sub/f; done")
		s.converge()
		s.until("all to be watched", func(v files.View) bool { return v.Polled == 0 })
		shell(t, dir, fmt.Sprintf("mkdir ../archive/%d; mv job* ../archive/%d; rm -rf gone; mkdir -p gone/a/b; rm -r gone", round, round))
		s.converge()
	}
	s.until("two watches", func(v files.View) bool { return v.Polled == 0 && watches(t)-before == 2 })
	shell(t, dir, "cd ../archive; for i in */*/sub; do touch $i/{1..50}; done")
	write(t, dir+"/keep/late")
	s.converge()
	if n := s.logs.FilterMessage("events lost").Len(); n > 0 {
		t.Error("events were lost that are nobody's")
	}
}

// The name of a directory that was moved away is used again at once.
func TestNameUsedAgain(t *testing.T) {
	dir := in(t)
	mkdir(t, dir+"/../archive")
	before := watches(t)
	s := start(t, dir, modes[0].options)
	for i := range 50 {
		shell(t, dir, fmt.Sprintf("mkdir -p logs/x; touch logs/x/%d; mv logs ../archive/%d; mkdir -p logs/x", i, i))
		s.converge()
		write(t, fmt.Sprintf("%s/logs/x/late-%d", dir, i))
		s.converge()
	}
	s.until("three watches", func(v files.View) bool { return v.Polled == 0 && watches(t)-before == 3 })
}

// A directory that is put in the place of the watched one leaves none of its
// predecessor's watches.
func TestReplacedDirectoryHoldsNoWatch(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir {1..40}; mkdir ../next; touch ../next/f")
	before := watches(t)
	s := start(t, dir, modes[0].options)
	s.until("all watches", func(files.View) bool { return watches(t)-before == 41 })
	shell(t, dir, "mv ../watched ../old; mv ../next ../watched")
	s.until("one watch", func(v files.View) bool { return v.Set != nil && v.Set.Len() == 1 && watches(t)-before == 1 })
}

// interruptedNotifier does something around the first watch of a directory.
type interruptedNotifier struct {
	notifier
	path          string
	before, after func()
}

func (n *interruptedNotifier) watch(path string) error {
	if path != n.path {
		return n.notifier.watch(path)
	}
	n.path = ""
	n.before()
	defer n.after()
	return n.notifier.watch(path)
}

// A link that is there only while a directory is watched leads the watch to another
// directory. Changes in that are listed all the same, without the poll.
func TestLinkOfAMomentStealsNoWatch(t *testing.T) {
	for name, after := range map[string]string{
		"the directory comes back": "rm z; mv ../z .",
		"nothing comes back":       "rm z",
	} {
		t.Run(name, func(t *testing.T) {
			dir := in(t)
			shell(t, dir, "mkdir victim z; touch z/f")
			done := make(chan struct{})
			s := start(t, dir, modes[0].options, func(w *Watcher) {
				w.notify = func(r *router) notifier {
					return &interruptedNotifier{
						notifier: newLibrary(r, w.claim.Dir()),
						path:     filepath.Join(w.claim.Dir(), "z"),
						before:   func() { shell(t, dir, "mv z ..; ln -s victim z") },
						after:    func() { shell(t, dir, after); close(done) },
					}
				}
			})
			<-done
			s.converge()
			s.until("all watches", func(v files.View) bool { return v.Polled == 0 })
			write(t, dir+"/victim/late")
			s.converge()
		})
	}
}

// What happens while watches are renewed is listed without the poll.
func TestChangesWhileWatchesAreRenewed(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p {a..j}/{1..30} ../archive")
	s := start(t, dir, modes[0].options)
	s.until("all to be watched", func(v files.View) bool { return v.Set != nil && v.Polled == 0 })
	for i := range 300 {
		mkdir(t, fmt.Sprintf("%s/leaves-%d", dir, i))
		shell := [][2]string{
			{fmt.Sprintf("leaves-%d", i), fmt.Sprintf("../archive/%d", i)},
			{"a", "t"},
			{"b", "a"},
			{"t", "b"},
			{"c/1", "d/31"},
			{"d/31", "c/1"},
		}
		for _, m := range shell {
			must(t, os.Rename(filepath.Join(dir, m[0]), filepath.Join(dir, m[1])))
		}
		for _, d := range []string{"a/7", "b/30", "c/1", "j/30"} {
			name := fmt.Sprintf("%s/late-%d", d, i)
			write(t, filepath.Join(dir, name))
			s.until(name, contains(name))
		}
	}
	s.converge()
	if n := s.logs.FilterMessage("watches renewed").Len(); n == 0 {
		t.Error("watches were not renewed")
	}
}

// Watches are renewed the later the more there are, and sooner when it matters.
func TestRenewalIsDue(t *testing.T) {
	const watches = 100_000 // 4 s of work, as long as none was measured
	for name, c := range map[string]struct {
		begin func(*library)
		soon  bool
		never bool
	}{
		"nothing has left":   {begin: func(*library) {}, never: true},
		"one has left":       {begin: func(l *library) { l.left() }},
		"a fifth has left":   {begin: func(l *library) { l.gone.Store(watches / 5) }, soon: true},
		"a limit was met":    {begin: func(l *library) { l.left(); l.urgent.Store(true) }, soon: true},
		"events were lost":   {begin: func(l *library) { l.left(); loseEvents(l) }, soon: true},
		"lost, nothing left": {begin: loseEvents, never: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLibrary(newRouter(1), "/dir")
				l.current = &generation{}
				c.begin(l)
				after := time.Duration(0)
				for ; !l.due(watches) && after < time.Hour; after += time.Second {
					time.Sleep(time.Second)
				}
				switch {
				case c.never && after < time.Hour:
					t.Errorf("due after %v, want never", after)
				case !c.never && c.soon != (after < time.Minute):
					t.Errorf("due after %v", after)
				}
			})
		})
	}
}

// loseEvents has the library be told of more than it may be told in a second.
func loseEvents(l *library) {
	l.router.set([]route{{events: newEvents("/dir")}})
	g := &generation{router: l.router, urgent: &l.urgent, events: make(chan notify.EventInfo), done: make(chan struct{})}
	g.ended.Go(g.drain)
	g.events <- eventAt("/dir/f")
	g.events <- eventAt("/dir/g")
	close(g.done)
	g.ended.Wait()
}

// eventAt is an event at the path.
type eventAt string

func (e eventAt) Event() notify.Event { return notify.InCreate }
func (e eventAt) Path() string        { return string(e) }
func (e eventAt) Sys() any            { return nil }

// A tree that has missed the end of a generation, or all of it, watches again what
// is not in the current one.
func TestMissedGenerations(t *testing.T) {
	for name, missed := range map[string]func(*tree){
		"all":                 func(f *tree) { f.notifier.begin(); f.notifier.finish() },
		"the end":             func(f *tree) { f.notifier.begin(); f.followGenerations(); f.notifier.finish() },
		"the end, and a look": func(f *tree) { f.notifier.begin(); f.followGenerations(); f.notifier.finish(); f.watchSome() },
		"the end, and a start": func(f *tree) {
			f.notifier.begin()
			f.followGenerations()
			f.notifier.finish()
			f.notifier.begin()
			f.watchSome()
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := in(t)
			shell(t, dir, "mkdir -p a/b c")
			f := scanned(t, dir, realNotifier)
			f.startWatching()
			missed(f)
			for f.followGenerations(); f.canWatch(); f.followGenerations() {
				f.watchSome()
			}
			f.notifier.finish()
			f.followGenerations()
			<-f.notifier.(*library).ending
			if f.canWatch() || f.root.polled > 0 {
				t.Fatalf("%d directories are not watched", f.root.polled)
			}
			write(t, dir+"/a/b/file")
			for end := time.Now().Add(patience); ; {
				select {
				case <-f.events.ready:
				case <-time.After(time.Until(end)):
					t.Fatal("no event named the file")
				}
				if _, ok := f.events.take().names["a/b"]["file"]; ok {
					return
				}
			}
		})
	}
}
