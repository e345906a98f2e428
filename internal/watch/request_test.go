package watch

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// deaf are the ways to learn of changes by being asked alone: the poll comes too
// late, and there are no notifications, or they are lost.
var deaf = []struct {
	name  string
	adapt func(*Watcher)
}{
	{"unwatched", func(*Watcher) {}},
	{"notifications lost", func(w *Watcher) { w.notify = func(*router) notifier { return new(fakeNotifier) } }},
}

func eachDeaf(t *testing.T, test func(t *testing.T, start func(dir string) *subject)) {
	for _, d := range deaf {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			test(t, func(dir string) *subject {
				return start(t, dir, Options{Poll: time.Hour, Recursive: true}, d.adapt)
			})
		})
	}
}

// answered waits for a look that was asked for.
func (s *subject) answered(look <-chan struct{}) {
	s.t.Helper()
	select {
	case <-look:
	case <-time.After(patience):
		s.t.Fatalf("waited for a look: view is %s", describe(s.View()))
	}
}

// exact looks, and fails unless the View is what find prints right then.
func (s *subject) exact() {
	s.t.Helper()
	s.answered(s.Rescan())
	v, want := s.View(), find(s.t, s.dir)
	if v.Set == nil {
		s.t.Fatalf("after a look the view is %s", describe(v))
	}
	if got := names(v.Set); !slices.Equal(got, want) {
		s.t.Fatalf("after a look: missing %q, too many %q", without(want, got), without(got, want))
	}
}

func TestLookAfterScripts(t *testing.T) {
	for _, script := range scripts {
		t.Run(script.name, func(t *testing.T) {
			eachDeaf(t, func(t *testing.T, start func(string) *subject) {
				dir := in(t)
				mkdir(t, dir+"/../beside")
				s := start(dir)
				for _, step := range script.steps {
					shell(t, dir, step)
					s.exact()
				}
			})
		})
	}
}

func TestLookAfterRandomOperations(t *testing.T) {
	eachDeaf(t, func(t *testing.T, start func(string) *subject) {
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		dir := in(t)
		v := &vandal{rand.New(rand.NewPCG(seed, 0)), dir, filepath.Join(filepath.Dir(dir), "beside")}
		mkdir(t, v.beside)
		s := start(dir)
		for range *steps {
			_ = v.act()
			if v.IntN(30) == 0 {
				s.exact()
			}
		}
	})
}

// What was there before is seen whatever goes on meanwhile, however young the
// stamps are.
func TestLookUnderChurn(t *testing.T) {
	ways := append(slices.Clone(deaf), struct {
		name  string
		adapt func(*Watcher)
	}{"notified", func(w *Watcher) { w.notify = func(r *router) notifier { return newLibrary(r, w.claim.Dir()) } }})
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			dir := in(t)
			for i := range 10 {
				mkdir(t, fmt.Sprintf("%s/%d", dir, i))
			}
			s := start(t, dir, Options{Poll: time.Hour, Recursive: true}, way.adapt)
			var churning sync.WaitGroup
			defer churning.Wait()
			stop := make(chan struct{})
			defer close(stop)
			churning.Go(func() { churn(dir, stop) })
			for i := range 300 {
				name := fmt.Sprintf("%d/file-%d", i%10, i)
				write(t, dir+"/"+name)
				s.answered(s.Rescan())
				if !contains(name)(s.View()) {
					t.Fatalf("%s was made before the look and is not in the view after it", name)
				}
			}
		})
	}
}

// churn makes and removes files in each directory until stopped.
func churn(dir string, stop <-chan struct{}) {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
			path := fmt.Sprintf("%s/%d/churn", dir, i%10)
			_ = os.WriteFile(path, nil, 0o644)
			_ = os.Remove(path)
		}
	}
}

// A clock that ticks slowly gives one stamp to two changes, and an event may be
// on its way still when a rescan is asked for.
func TestRescanTrustsNoYoungStamp(t *testing.T) {
	dir := in(t)
	write(t, dir+"/a")
	f := scanned(t, dir, quietNotifier)
	write(t, dir+"/b")
	f.root.stamp = stampAt(t, f, "")
	f.root.trust = trustEvents
	f.verify(f.root)
	must(t, f.settle())
	if contains("b")(f.forest.View()) {
		t.Fatal("the second change of one tick is not hidden")
	}
	f.rescan()
	if !contains("b")(f.forest.View()) {
		t.Error("the second change of one tick was missed")
	}
}

// stampAt returns the present stamp of the directory at path.
func stampAt(t *testing.T, f *tree, path string) stamp {
	t.Helper()
	s, err := f.disk.stat([]byte(path))
	must(t, err)
	return s.stamp()
}

// Where stamps prove nothing the poll lists each directory.
func TestPollListsWhereStampsProveNothing(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir d; touch d/a")
	f := scanned(t, dir, quietNotifier)
	f.mount.kind = "fuse.strange"
	f.root.each(func(d *directory) { f.count(d, +1) })
	f.relist(f.root)
	f.relist(f.root.sub("d"))
	write(t, dir+"/d/b")
	f.root.sub("d").stamp = stampAt(t, f, "d")
	f.poll()
	must(t, f.settle())
	if !contains("d/b")(f.forest.View()) {
		t.Error("a stamp was trusted that proves nothing")
	}
}

// A look that comes while there is nothing to look at is done once there is.
func TestLookWaitsForTheDirectory(t *testing.T) {
	dir := in(t)
	write(t, dir+"/a")
	s := start(t, dir, Options{Poll: time.Hour, Recursive: true}, func(w *Watcher) { w.check = 5 * time.Millisecond })
	s.converge()
	shell(t, dir, "cd ..; mv watched away")
	s.unavailable("does not exist")
	look := s.Rescan()
	shell(t, filepath.Dir(dir), "mv away watched; touch watched/b")
	s.answered(look)
	s.exact()
	shell(t, dir, "cd ..; mv watched away; mkdir watched; touch watched/c") // and nobody has noticed
	s.exact()
}

// A look that begins after the call, not one that is under way.
func TestRequestsShareTheNextLook(t *testing.T) {
	r := newRequests()
	isDone := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	if r.begin() {
		t.Error("a look was asked for by nobody")
	}
	a, b := r.ask(), r.ask()
	if !r.begin() {
		t.Error("nobody waits")
	}
	c := r.ask()
	r.done()
	if !isDone(a) || !isDone(b) || isDone(c) {
		t.Errorf("done: %v, %v, and %v, which was asked for during the look", isDone(a), isDone(b), isDone(c))
	}
	r.begin() // cut short
	d := r.ask()
	r.begin()
	r.done()
	if !isDone(c) || !isDone(d) || r.begin() {
		t.Errorf("done: %v and %v after a look that was cut short", isDone(c), isDone(d))
	}
}
