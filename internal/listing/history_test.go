package listing

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"scout/internal/alloctest"
	"scout/internal/files"
	"scout/internal/files/filestest"
)

func anyOrigin(files.Origin) bool { return true }

// reader follows a Listing using only its history.
type reader struct {
	revision uint64
	list     map[[3]string]bool
	resets   int
}

func newReader(l *Listing) *reader {
	r := new(reader)
	r.reset(l.Current())
	return r
}

func (r *reader) reset(v *Version) {
	r.revision, r.list = v.Revision, map[[3]string]bool{}
	for _, e := range read(v) {
		r.list[e] = true
	}
	r.resets++
}

// catchUp reads all changes. Each removed entry must exist, and each added entry
// must not.
func (r *reader) catchUp(l *Listing) error {
	for r.revision < l.Current().Revision {
		c, ok := l.Since(r.revision, anyOrigin)
		if !ok {
			r.reset(l.Current())
			continue
		}
		for d := c.Removed(); d.Next(); {
			e := [3]string{string(d.Name()), d.Source().Origin.Host, d.Source().Origin.Directory}
			if !r.list[e] {
				return fmt.Errorf("%v goes, and was not there", e)
			}
			delete(r.list, e)
		}
		for d := c.Added(); d.Next(); {
			e := [3]string{string(d.Name()), d.Source().Origin.Host, d.Source().Origin.Directory}
			if r.list[e] {
				return fmt.Errorf("%v comes, and was there", e)
			}
			r.list[e] = true
		}
		if c.Revision <= r.revision {
			return fmt.Errorf("revision %d follows %d", c.Revision, r.revision)
		}
		if now := l.Current().Revision; now < c.Revision {
			return fmt.Errorf("revision %d is told of, the list is at %d", c.Revision, now)
		}
		r.revision = c.Revision
	}
	return nil
}

// is compares what the reader has with a Version.
func (r *reader) is(v *Version) error {
	want := read(v)
	for _, e := range want {
		if !r.list[e] {
			return fmt.Errorf("revision %d: %v is missing", v.Revision, e)
		}
	}
	if len(r.list) != len(want) {
		return fmt.Errorf("revision %d: the reader has %d entries of %d", v.Revision, len(r.list), len(want))
	}
	return nil
}

// Readers that start and read at random times have the right list whenever they
// have caught up.
func TestHistoryAgainstTheList(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 7))
		l, names, sources := New(), model{}, map[files.Origin]*Source{}
		end := l.Watch()
		readers := []*reader{newReader(l)}
		for step := range 400 {
			randomStep(t, r, l, names, sources)
			if r.IntN(20) == 0 {
				readers = append(readers, newReader(l))
			}
			for i, reader := range readers {
				if r.IntN(len(readers)*3) != 0 && step != 399 {
					continue
				}
				err := reader.catchUp(l)
				if err == nil {
					err = reader.is(l.Current())
				}
				if err != nil || reader.resets > 1 {
					t.Fatalf("seed %d, step %d, reader %d, %d resets: %v", seed, step, i, reader.resets, err)
				}
			}
		}
		end()
	}
}

func randomStep(t *testing.T, r *rand.Rand, l *Listing, names model, sources map[files.Origin]*Source) {
	t.Helper()
	o := originOf(r.IntN(6))
	switch op := r.IntN(12); {
	case op <= 1:
		if s := sources[o]; s != nil {
			l.Drop(s)
			delete(sources, o)
			delete(names, o)
		}
	case op == 2 || sources[o] == nil:
		next := maps.Clone(names[o]) // mostly what it was
		for n := range randomNames(r, 50) {
			if next == nil {
				next = map[string]bool{}
			}
			next[n] = true
		}
		sources[o] = l.Show(o, filestest.Set(slices.Collect(maps.Keys(next))...), sources[o])
		names[o] = next
	case op <= 4:
		if err := l.Merge(); err != nil {
			t.Fatal(err)
		}
	default:
		if names[o] == nil {
			names[o] = map[string]bool{}
		}
		if _, err := l.Change(sources[o], randomDelta(r, names[o])); err != nil {
			t.Fatal(err)
		}
	}
}

// Readers follow while writers and merges work.
func TestHistoryBesideWritersAndMerges(t *testing.T) {
	l := New()
	defer l.Watch()()
	stop := make(chan struct{})
	var writers, background sync.WaitGroup
	background.Go(func() {
		for !isClosed(stop) {
			if err := l.Merge(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	readers := make([]*reader, 4)
	for i := range readers {
		readers[i] = newReader(l)
		background.Go(func() {
			for !isClosed(stop) {
				select {
				case <-l.After(l.Current().Epoch, readers[i].revision):
				case <-stop:
				}
				if err := readers[i].catchUp(l); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := range 3 {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 9))
			names := randomNames(r, 300)
			s := l.Show(originOf(n), filestest.Set(slices.Collect(maps.Keys(names))...), nil)
			for range 200 {
				if r.IntN(10) == 0 {
					l.Drop(s)
					names = randomNames(r, 300)
					s = l.Show(originOf(n), filestest.Set(slices.Collect(maps.Keys(names))...), nil)
				} else if _, err := l.Change(s, randomDelta(r, names)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	background.Wait()
	for _, r := range readers {
		if err := r.catchUp(l); err != nil {
			t.Error(err)
		} else if err := r.is(l.Current()); err != nil || r.resets > 1 {
			t.Errorf("%v, %d resets", err, r.resets)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Changes of several revisions are read as one, without changes that were undone.
func TestChangesAreTheNetEffect(t *testing.T) {
	l := New()
	defer l.Watch()()
	a := l.Show(originOf(1), filestest.Set("kept", "old", "touched"), nil)
	l.Show(originOf(2), filestest.Set("other"), nil)
	from := l.Current().Revision
	change(t, l, a, "touched", "new")
	change(t, l, a, "", "touched", "short")
	change(t, l, a, "short", "")
	l.Drop(a)
	l.Show(originOf(1), filestest.Set("kept", "touched", "new", "newer"), nil)
	c, ok := l.Since(from, anyOrigin)
	if !ok || c.Revision != l.Current().Revision {
		t.Fatal(c, ok)
	}
	if got := entriesOf(c.Removed()); got != "old" {
		t.Errorf("%s went", got)
	}
	if got := entriesOf(c.Added()); got != "new newer" {
		t.Errorf("%s came", got)
	}
	c, _ = l.Since(from, func(o files.Origin) bool { return o == originOf(2) })
	if got := entriesOf(c.Removed()) + entriesOf(c.Added()); got != "" {
		t.Errorf("%s of another origin", got)
	}
	d := func() *Difference { c, _ := l.Since(0, anyOrigin); return c.Added() }()
	d.Seek([]byte("newer"))
	if got := entriesOf(d); got != "newer other touched" {
		t.Errorf("from newer on: %s", got)
	}
}

func change(t *testing.T, l *Listing, s *Source, removed string, added ...string) {
	t.Helper()
	d := files.Delta{Removed: filestest.Set(), Added: filestest.Set(slices.DeleteFunc(added, func(n string) bool { return n == "" })...)}
	if removed != "" {
		d.Removed = filestest.Set(removed)
	}
	if _, err := l.Change(s, d); err != nil {
		t.Fatal(err)
	}
}

func entriesOf(d *Difference) string {
	var names []string
	for d.Next() {
		names = append(names, string(d.Name()))
	}
	return strings.Join(names, " ")
}

// The changes between two revisions stay the same, whatever happens later, and are
// as many as Since returned.
func TestBetween(t *testing.T) {
	l := New()
	defer l.Watch()()
	a := l.Show(originOf(1), filestest.Set("x"), nil)
	from := l.Current().Revision
	l.Drop(a)
	l.Show(originOf(1), filestest.Set("x", "y"), nil)
	to := l.Current().Revision
	for range 2 {
		if c, ok := l.Between(from, to, anyOrigin); !ok || c.Revision != to || entriesOf(c.Removed()) != "" || entriesOf(c.Added()) != "y" {
			t.Errorf("from %d to %d: %v, %v", from, to, c, ok)
		}
		change(t, l, l.Show(originOf(2), filestest.Set("z"), nil), "z")
	}
	now := l.Current().Revision
	for _, wrong := range [][2]uint64{{to, from}, {from, now + 1}, {now + 1, now + 2}, {from, from + changesMost + 1}} {
		if c, ok := l.Between(wrong[0], wrong[1], anyOrigin); ok {
			t.Errorf("from %d to %d: %v", wrong[0], wrong[1], c)
		}
	}
}

// Changes that were discarded are neither kept nor invented.
func TestHistoryIsBounded(t *testing.T) {
	l := New()
	s := l.Show(originOf(1), filestest.Set("a"), nil)
	if _, ok := l.Since(l.Current().Revision, anyOrigin); ok {
		t.Error("a history without a watcher")
	}
	defer l.Watch()()
	from := l.Current().Revision
	if _, ok := l.Since(from-1, anyOrigin); ok {
		t.Error("a history of what happened before")
	}
	if c, ok := l.Since(from, anyOrigin); !ok || c.Revision != from {
		t.Error("nothing is not known to have happened")
	}
	if _, ok := l.Since(from+1, anyOrigin); ok {
		t.Error("a history of the future")
	}
	for range historyBytes / historyCost {
		change(t, l, s, "", "b")
		change(t, l, s, "b")
	}
	h := &l.history
	if len(h.parts) > historyBytes/historyCost || h.size > historyBytes || h.size < historyBytes/2 {
		t.Errorf("%d parts, %d bytes", len(h.parts), h.size)
	}
	if _, ok := l.Since(from, anyOrigin); ok {
		t.Error("all of it is kept")
	}
	if c, ok := l.Since(l.Current().Revision-10, anyOrigin); !ok || c.Revision != l.Current().Revision {
		t.Error("the last revisions are not kept")
	}
}

// A scout that had most of the list does not stay in memory after it has left.
func TestHistoryLetsGiantsGo(t *testing.T) {
	l := New()
	defer l.Watch()()
	var giant []string
	for i := range 60_000 {
		giant = append(giant, fmt.Sprintf("%0300d", i*7919)) // stored whole more or less
	}
	l.Show(originOf(2), filestest.Set("small"), nil)
	s := l.Show(originOf(1), filestest.Set(giant...), nil)
	l.history.size += historyBytes // as if as much had happened before
	l.Drop(s)
	if n := len(l.history.parts); n != 0 {
		t.Errorf("%d parts are kept", n)
	}
}

// The history is kept for some time after its last reader.
func TestHistoryLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := New()
		s := l.Show(originOf(1), filestest.Set("a"), nil)
		from := l.Current().Revision
		l.Watch()()
		change(t, l, s, "", "b")
		time.Sleep(historyLinger - time.Second)
		if c, ok := l.Since(from, anyOrigin); !ok || entriesOf(c.Added()) != "b" {
			t.Error("forgotten too soon")
		}
		end := l.Watch()
		time.Sleep(2 * historyLinger)
		if _, ok := l.Since(from, anyOrigin); !ok {
			t.Error("forgotten while somebody watches")
		}
		end()
		time.Sleep(historyLinger + time.Second)
		if _, ok := l.Since(l.Current().Revision, anyOrigin); ok || l.history.parts != nil {
			t.Error("kept though nobody watches")
		}
	})
}

// A history makes a change little more expensive; without one there is no cost.
func TestCostOfHistory(t *testing.T) {
	cost := func(watched bool) (allocs, bytes float64) {
		l := New()
		s := l.Show(originOf(1), filestest.Set("a", "z"), nil)
		if watched {
			defer l.Watch()()
		}
		return alloctest.Cost(func() {
			change(t, l, s, "", "b")
			change(t, l, s, "b")
		})
	}
	allocs, bytes := cost(false)
	watchedAllocs, watchedBytes := cost(true)
	if watchedAllocs > allocs+2 || watchedBytes > bytes+2<<10 {
		t.Errorf("two changes allocate %.0f times, %.0f bytes; watched %.0f times, %.0f bytes", allocs, bytes, watchedAllocs, watchedBytes)
	}
}

// The change in which a source leaves has no cost for each name. The names of all
// sources that have left are found together.
func TestCostOfADrop(t *testing.T) {
	var names []string
	for i := range 50_000 {
		names = append(names, fmt.Sprintf("d%03d/f%05d", i/100, i))
	}
	l := New()
	var sources []*Source
	for n := range 8 {
		sources = append(sources, l.Show(originOf(n), filestest.Set(names...), nil))
	}
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	defer l.Watch()()
	r := newReader(l)
	i := 0
	allocs, bytes := alloctest.Cost(func() { l.Drop(sources[i]); i++ })
	if allocs > 20 || bytes > 8<<10 {
		t.Errorf("a drop of %d names allocates %.0f times, %.0f bytes", len(names), allocs, bytes)
	}
	if err := r.catchUp(l); err != nil {
		t.Fatal(err)
	}
	_, lacking := l.lacking()
	if err := r.is(l.Current()); err != nil || r.resets > 1 || lacking != nil {
		t.Errorf("%v, %d resets, %d lacking", err, r.resets, len(lacking))
	}
}

func BenchmarkHistory(b *testing.B) {
	for _, watched := range []bool{false, true} {
		b.Run(fmt.Sprintf("watched=%v", watched), func(b *testing.B) {
			l := New()
			s := l.Show(originOf(1), filestest.Set("a", "z"), nil)
			if watched {
				defer l.Watch()()
			}
			add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			b.ReportAllocs()
			for b.Loop() {
				for _, d := range []files.Delta{add, remove} {
					if _, err := l.Change(s, d); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// BenchmarkWakeUp measures a change while readers wait.
func BenchmarkWakeUp(b *testing.B) {
	for _, waiting := range []int{0, 1, 1000} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			l := New()
			s := l.Show(originOf(1), filestest.Set("a", "z"), nil)
			add := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
			remove := files.Delta{Removed: add.Added, Added: add.Removed}
			var awake sync.WaitGroup
			var writing time.Duration
			deltas := []files.Delta{add, remove}
			for i := 0; b.Loop(); i++ {
				revision := l.Current().Revision
				asleep := make(chan struct{}, waiting)
				for range waiting {
					awake.Go(func() {
						c := l.After(l.Current().Epoch, revision)
						asleep <- struct{}{}
						<-c
					})
				}
				for range waiting {
					<-asleep
				}
				began := time.Now()
				if _, err := l.Change(s, deltas[i%2]); err != nil {
					b.Fatal(err)
				}
				writing += time.Since(began)
				awake.Wait()
			}
			b.ReportMetric(float64(writing.Nanoseconds())/float64(b.N), "ns/change")
		})
	}
}
