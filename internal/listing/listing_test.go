package listing

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"scout/internal/files"
	"scout/internal/files/filestest"
)

func originOf(n int) files.Origin {
	// Hosts sort in the reverse order of their numbers.
	return files.Origin{Host: fmt.Sprintf("host-%03d", 500-n), Directory: "/srv"}
}

// read returns all entries as filename, host and directory.
func read(v *Version) (out [][3]string) {
	e := v.Entries()
	for e.Next() {
		o := e.Source().Origin
		out = append(out, [3]string{string(e.Name()), o.Host, o.Directory})
	}
	return out
}

// model is a Listing that uses maps.
type model map[files.Origin]map[string]bool

func (m model) list() (out [][3]string) {
	for o, names := range m {
		for n := range names {
			out = append(out, [3]string{n, o.Host, o.Directory})
		}
	}
	slices.SortFunc(out, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) })
	return out
}

func randomNames(r *rand.Rand, most int) map[string]bool {
	names := map[string]bool{}
	for range r.IntN(most) {
		names[fmt.Sprintf("d%d/f%d", r.IntN(20), r.IntN(40))] = true
	}
	return names
}

func TestListingAgainstModel(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 0))
		l, want, sources := New(), model{}, map[files.Origin]*Source{}
		for step := range 300 {
			o := originOf(r.IntN(6))
			switch op := r.IntN(10); {
			case op == 0:
				if s := sources[o]; s != nil {
					l.Drop(s)
					delete(sources, o)
					delete(want, o)
				}
			case op == 1 || sources[o] == nil:
				names := randomNames(r, 500)
				sources[o] = l.Show(o, filestest.Set(slices.Collect(maps.Keys(names))...), sources[o])
				want[o] = names
			case op == 2:
				if err := l.Merge(); err != nil {
					t.Fatal(err)
				}
			case op == 3:
				l, sources = transfer(t, l, sources, 1+r.IntN(2000))
			default:
				d := randomDelta(r, want[o])
				if _, err := l.Change(sources[o], d); err != nil {
					t.Fatal(err)
				}
			}
			compare(t, fmt.Sprintf("seed %d, step %d", seed, step), l.Current(), want)
		}
	}
}

// transfer returns a copy of a Listing in parts of about limit bytes, and its sources.
func transfer(t *testing.T, from *Listing, sources map[files.Origin]*Source, limit int) (*Listing, map[files.Origin]*Source) {
	t.Helper()
	origins := make(map[uint32]files.Origin)
	for o, s := range sources {
		origins[s.Number()] = o
	}
	m := NewImport(origins)
	for p := range from.Current().Parts(limit) {
		if err := m.Add(p); err != nil {
			t.Error(err)
		}
	}
	if err := m.Finish(); err != nil {
		t.Fatal(err)
	}
	to, copies := New(), make(map[files.Origin]*Source)
	tx := to.Begin()
	tx.Restart(2, 100)
	for n, s := range tx.Import(m) {
		if s != nil {
			copies[s.Origin] = s
			checkTotals(t, from.Current(), s.Origin, m.Totals(uint32(n)))
		}
	}
	tx.Commit()
	return to, copies
}

// checkTotals checks the totals of the names that a Version has of an origin.
func checkTotals(t *testing.T, v *Version, origin files.Origin, got files.Totals) {
	t.Helper()
	var names files.Builder
	for e := v.EntriesWhere(func(o files.Origin) bool { return o == origin }); e.Next(); {
		names.Add(e.Name())
	}
	set := names.Set()
	if want := (files.Totals{Names: uint64(set.Len()), Bytes: set.Bytes(), Digest: set.Digest()}); got != want {
		t.Errorf("the totals of %v are %+v, want %+v", origin, got, want)
	}
}

// randomDelta changes names and returns the change.
func randomDelta(r *rand.Rand, names map[string]bool) files.Delta {
	before := maps.Clone(names)
	for n := range randomNames(r, 30) {
		if names[n] {
			delete(names, n)
		} else {
			names[n] = true
		}
	}
	return files.Diff(filestest.Set(slices.Collect(maps.Keys(before))...), filestest.Set(slices.Collect(maps.Keys(names))...))
}

func compare(t *testing.T, when string, v *Version, want model) {
	t.Helper()
	got, list := read(v), want.list()
	if !slices.Equal(got, list) {
		t.Fatalf("%s: the listing has %d entries that differ from the model's %d", when, len(got), len(list))
	}
	if v.Len != len(got) {
		t.Fatalf("%s: Len is %d, there are %d entries", when, v.Len, len(got))
	}
}

func TestListingRefusesWhatDoesNotFit(t *testing.T) {
	l := New()
	s := l.Show(originOf(1), filestest.Set("a"), nil)
	for range 2 { // as a run, then in main
		before := l.Current()
		for _, d := range []files.Delta{
			{Removed: filestest.Set("b"), Added: filestest.Set()},
			{Removed: filestest.Set(), Added: filestest.Set("a")},
			{Removed: filestest.Set("a", "b"), Added: filestest.Set("c")},
		} {
			if _, err := l.Change(s, d); err == nil {
				t.Errorf("%d removed, %d added: taken", d.Removed.Len(), d.Added.Len())
			}
		}
		if v := l.Current(); v.Revision != before.Revision || !slices.Equal(read(v), read(before)) {
			t.Error("a refused change left a trace")
		}
		if err := l.Merge(); err != nil {
			t.Fatal(err)
		}
	}
}

// A merge runs beside writers and readers. Every version that a reader holds is
// consistent, and the final list is right.
func TestMergeBesideReadersAndWriters(t *testing.T) {
	l := New()
	ctx, cancel := context.WithCancel(t.Context())
	var background, writers sync.WaitGroup
	background.Go(func() {
		for ctx.Err() == nil {
			if err := l.Merge(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	background.Go(func() {
		for ctx.Err() == nil {
			v := l.Current()
			if got := read(v); len(got) != v.Len || !slices.IsSortedFunc(got, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) {
				t.Errorf("revision %d: %d entries read, Len is %d", v.Revision, len(got), v.Len)
				return
			}
		}
	})
	const scouts = 4
	finals := make([]map[string]bool, scouts)
	for n := range scouts {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 3))
			names := randomNames(r, 500)
			s := l.Show(originOf(n), filestest.Set(slices.Collect(maps.Keys(names))...), nil)
			for range 150 {
				switch r.IntN(20) {
				case 0:
					l.Drop(s)
					names = randomNames(r, 500)
					s = l.Show(originOf(n), filestest.Set(slices.Collect(maps.Keys(names))...), nil)
				default:
					if _, err := l.Change(s, randomDelta(r, names)); err != nil {
						t.Error(err)
						return
					}
				}
			}
			finals[n] = names
		})
	}
	writers.Wait()
	cancel()
	background.Wait()
	want := model{}
	for n, names := range finals {
		want[originOf(n)] = names
	}
	compare(t, "at the end", l.Current(), want)
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	compare(t, "merged", l.Current(), want)
}

// A reader of some sources of a Version is not disturbed by a new source that
// reuses a number. The race detector is the judge.
func TestReaderBesideASourceWithAUsedNumber(t *testing.T) {
	l := New()
	l.Show(originOf(1), filestest.Set("a"), nil)
	left := l.Show(originOf(2), filestest.Set("b"), nil)
	for range 2 { // to be in main, and swept from it
		if err := l.Merge(); err != nil {
			t.Fatal(err)
		}
		if left != nil {
			l.Drop(left)
			left = nil
		}
	}
	v := l.Current()
	var readers sync.WaitGroup
	readers.Go(func() { l.Show(originOf(3), filestest.Set("c"), nil) })
	n := 0
	for e := v.EntriesWhere(func(files.Origin) bool { return true }); e.Next(); {
		n++
	}
	if readers.Wait(); n != 1 {
		t.Errorf("%d entries", n)
	}
	if numbers := l.Current().Sources().Numbers(); numbers != 2 {
		t.Errorf("the number was not used again: there are %d", numbers)
	}
}

// A source that starts without names during a merge, and then gets one, keeps it.
// A source that leaves during the merge is gone.
func TestEmptySourceDuringMerge(t *testing.T) {
	l, want := New(), model{originOf(1): {"a": true}, originOf(2): {"x": true}}
	l.Show(originOf(1), filestest.Set("a"), nil)
	j := l.beginMerge()
	s, left := l.Show(originOf(2), filestest.Set(), nil), l.Show(originOf(3), filestest.Set(), nil)
	for _, s := range []*Source{s, left} {
		if _, err := l.Change(s, files.Delta{Removed: filestest.Set(), Added: filestest.Set("x")}); err != nil {
			t.Fatal(err)
		}
	}
	l.Drop(left)
	if err := l.merge(j); err != nil {
		t.Fatal(err)
	}
	compare(t, "after the merge", l.Current(), want)
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	compare(t, "after another", l.Current(), want)
}

// Numbers and masked entries are reclaimed, however often scouts come and go.
func TestListingForgets(t *testing.T) {
	l := New()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	for i := range 5000 {
		s := l.Show(originOf(i%3), filestest.Set("a", "b", "c"), nil)
		l.Drop(s)
	}
	last := l.Show(originOf(1), filestest.Set("a"), nil)
	deadline := time.Now().Add(time.Minute)
	for {
		v := l.Current()
		l.mu.Lock()
		dead := l.dead
		l.mu.Unlock()
		if len(v.runs) == 0 && v.main.Len()-dead == 1 && dead < sweepLeast {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d runs, %d entries in main of which %d are dead, number %d", len(v.runs), v.main.Len(), dead, last.number)
		}
		time.Sleep(time.Millisecond)
	}
	if err := l.Merge(); err != nil { // the one that the last changes made due
		t.Fatal(err)
	}
	free := 0
	for _, s := range l.Current().sources.all {
		if s == nil {
			free++
		}
	}
	if used := l.Current().sources.Numbers() - free; used > 1 {
		t.Errorf("%d numbers are in use by one source", used)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A source that leaves during a merge is masked in the merged list, counted
// there, and swept by the next merge.
func TestASourceThatLeavesDuringAMergeIsSwept(t *testing.T) {
	const entries = 2 * sweepLeast
	names := make([]string, entries)
	for i := range names {
		names[i] = fmt.Sprintf("f%05d", i)
	}
	l, want := New(), model{originOf(1): {"kept": true}}
	l.Show(originOf(1), filestest.Set("kept"), nil)
	leaving := l.Show(originOf(2), filestest.Set(names...), nil)
	j := l.beginMerge()
	l.Drop(leaving)
	if err := l.merge(j); err != nil {
		t.Fatal(err)
	}
	compare(t, "after the merge", l.Current(), want)
	if !l.needsMerge(false) {
		t.Errorf("no merge is due, and %d entries of %d are masked", entries, l.Current().main.Len())
	}
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	compare(t, "after the next", l.Current(), want)
	if n := l.Current().main.Len(); n != 1 {
		t.Errorf("%d entries are left of 1", n)
	}
	if l.needsMerge(true) || len(l.free) != 1 {
		t.Errorf("a merge is still due, or the number is not free: %v", l.free)
	}
}

// Many sources can change in one revision, and several revisions can become visible
// together. A position without a change is not a revision.
func TestATransaction(t *testing.T) {
	l := New()
	defer l.Watch()()
	gone := l.Show(originOf(1), filestest.Set("a"), nil)
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	before := l.Current()
	later := l.After(before.Epoch, before.Revision)

	tx := l.Begin()
	tx.Advance(10)
	tx.Drop(gone)
	x := tx.Show(originOf(2), filestest.Set("x"), nil)
	tx.Advance(20)
	if _, err := tx.Change(x, files.Delta{Removed: filestest.Set("x"), Added: filestest.Set("y")}); err != nil {
		t.Fatal(err)
	}
	tx.Advance(30)
	if _, err := tx.Change(x, files.Delta{Removed: filestest.Set("x"), Added: filestest.Set()}); err == nil {
		t.Error("a name that is not there was removed")
	}
	if l.Current() != before || isClosed(later) {
		t.Error("the change is visible before it is complete")
	}
	tx.Commit()
	<-later

	if v := l.Current(); v.Position != 30 || v.Revision != 20 {
		t.Errorf("position %d, revision %d", v.Position, v.Revision)
	}
	compare(t, "committed", l.Current(), model{originOf(2): {"y": true}})
	for _, tc := range []struct {
		earlier, later uint64
		removed, added string
	}{{1, 20, "a", "y"}, {1, 10, "a", "x"}, {10, 20, "x", "y"}, {15, 20, "x", "y"}, {20, 20, "", ""}} {
		c, ok := l.Between(tc.earlier, tc.later, anyOrigin)
		if !ok {
			t.Fatalf("the changes from %d to %d are unknown", tc.earlier, tc.later)
		}
		if removed, added := entriesOf(c.Removed()), entriesOf(c.Added()); removed != tc.removed || added != tc.added {
			t.Errorf("from %d to %d: -%q +%q", tc.earlier, tc.later, removed, added)
		}
	}
	tx = l.Begin()
	tx.Advance(31)
	tx.Commit()
	if v := l.Current(); v.Position != 31 || v.Revision != 20 || isClosed(l.After(v.Epoch, 20)) {
		t.Errorf("position %d, revision %d", v.Position, v.Revision)
	}
}

// A batch has the effect of its steps one by one, and their errors.
func TestBatchAgainstSteps(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 7))
		lists := [2]*Listing{New(), New()}
		var sources [2]map[files.Origin]*Source
		for i, l := range lists {
			l.Watch()
			sources[i] = map[files.Origin]*Source{}
		}
		names, position := model{}, uint64(0)
		for range 30 {
			before := lists[1].Current().Revision
			tx := lists[1].BeginBatch()
			for range 1 + r.IntN(20) {
				position++
				one := lists[0].Begin()
				step := randomTxStep(r, names)
				want, got := step(one, position, sources[0]), step(tx, position, sources[1])
				one.Commit()
				if want != got {
					t.Fatalf("seed %d: a step returns %q, in a batch %q", seed, want, got)
				}
			}
			tx.Commit()
			v := lists[1].Current()
			compare(t, fmt.Sprint("seed ", seed), v, names)
			if one := lists[0].Current(); v.Revision != one.Revision || v.Len != one.Len || v.Changes != one.Changes {
				t.Fatalf("seed %d: revision %d, %d entries, %d changes; want %d, %d, %d",
					seed, v.Revision, v.Len, v.Changes, one.Revision, one.Len, one.Changes)
			}
			compareChanges(t, lists, before)
			for _, l := range lists {
				if r.IntN(3) > 0 {
					continue
				}
				if err := l.Merge(); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// randomTxStep changes names, and returns the same step for a Listing, which returns its
// error. One in four changes does not fit.
func randomTxStep(r *rand.Rand, names model) func(tx *Tx, position uint64, sources map[files.Origin]*Source) string {
	origin := originOf(r.IntN(5))
	old, known := names[origin], names[origin] != nil
	switch {
	case !known || r.IntN(8) == 0:
		names[origin] = randomNames(r, 1+20*r.IntN(3))
		set := filestest.Set(slices.Collect(maps.Keys(names[origin]))...)
		return func(tx *Tx, position uint64, sources map[files.Origin]*Source) string {
			tx.Advance(position)
			sources[origin] = tx.Show(origin, set, sources[origin])
			return ""
		}
	case r.IntN(100) == 0:
		clear(names)
		return func(tx *Tx, position uint64, sources map[files.Origin]*Source) string {
			tx.Restart(position, position)
			clear(sources)
			return ""
		}
	case r.IntN(8) == 0:
		delete(names, origin)
		return func(tx *Tx, position uint64, sources map[files.Origin]*Source) string {
			tx.Advance(position)
			tx.Drop(sources[origin])
			delete(sources, origin)
			return ""
		}
	}
	var d files.Delta
	if there := slices.Sorted(maps.Keys(old)); len(there) > 0 && r.IntN(4) == 0 {
		d = files.Delta{Removed: filestest.Set(), Added: filestest.Set(there[0], there[0]+"-")}
	} else {
		d = randomDelta(r, old)
	}
	return func(tx *Tx, position uint64, sources map[files.Origin]*Source) string {
		tx.Advance(position)
		n, err := tx.Change(sources[origin], d)
		return fmt.Sprint(n, err)
	}
}

// compareChanges checks that two Listings tell the same changes since a revision.
func compareChanges(t *testing.T, lists [2]*Listing, since uint64) {
	t.Helper()
	told := [2]string{"nothing, the list has restarted", "nothing, the list has restarted"}
	for i, l := range lists {
		if c, ok := l.Since(since, anyOrigin); ok {
			told[i] = fmt.Sprintf("-%q +%q", entriesOf(c.Removed()), entriesOf(c.Added()))
		}
	}
	if told[0] != told[1] {
		t.Errorf("a batch changes %s, want %s", told[1], told[0])
	}
}

// A reader that waits for the next revision misses none, however close the two
// come to each other.
func TestAfterMissesNoRevision(t *testing.T) {
	l := New()
	source := l.Show(originOf(1), filestest.Set("a"), nil)
	var waiting atomic.Uint64
	waiting.Store(l.Current().Revision)
	done := make(chan struct{})
	defer close(done)
	go func() { // changes the list at the moment when the reader begins to wait
		for turn := 0; ; turn++ {
			for waiting.Load() < l.Current().Revision {
				if isClosed(done) {
					return
				}
			}
			for range turn % 64 {
				waiting.Load() // a moment, of another length each time
			}
			d := files.Delta{Removed: filestest.Set(), Added: filestest.Set("b")}
			if turn%2 == 1 {
				d.Removed, d.Added = d.Added, d.Removed
			}
			if _, err := l.Change(source, d); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for began := time.Now(); time.Since(began) < time.Second; {
		now := l.Current()
		revision := now.Revision
		waiting.Store(revision)
		select {
		case <-l.After(now.Epoch, revision):
		case <-time.After(10 * time.Second):
			t.Fatalf("the revision after %d was missed", revision)
		}
	}
}

// A new epoch empties the list, even during a merge, and ends the history.
func TestRestart(t *testing.T) {
	l := New()
	defer l.Watch()()
	l.Show(originOf(1), filestest.Set("a"), nil)
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	l.Show(originOf(2), filestest.Set("b"), nil)
	from, epoch := l.Current().Revision, l.Current().Epoch
	j := l.beginMerge()

	tx := l.Begin()
	tx.Advance(50)
	tx.Show(originOf(3), filestest.Set("c"), nil)
	tx.Restart(7, 1)
	tx.Advance(2)
	tx.Show(originOf(4), filestest.Set("d"), nil)
	tx.Commit()

	want := model{originOf(4): {"d": true}}
	compare(t, "restarted", l.Current(), want)
	if !isClosed(l.After(epoch, 100)) || isClosed(l.After(7, 2)) {
		t.Error("who waits in the earlier epoch is not woken, or who waits in this one is")
	}
	if err := l.merge(j); err != nil {
		t.Fatal(err)
	}
	compare(t, "after the merge of the earlier epoch", l.Current(), want)
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
	compare(t, "after the next merge", l.Current(), want)
	if v := l.Current(); v.Epoch != 7 || v.Revision != 2 {
		t.Errorf("epoch %d, revision %d", v.Epoch, v.Revision)
	}
	if c, ok := l.Since(from, anyOrigin); ok && c.Epoch != 7 {
		t.Errorf("changes since revision %d of the earlier epoch: %+v", from, c)
	}
	if c, ok := l.Since(1, anyOrigin); !ok || entriesOf(c.Added()) != "d" {
		t.Errorf("the new epoch's changes: %v, %v", c, ok)
	}
}

// Epochs of a shared log ascend. A random one is comparable with none.
func TestPrecedes(t *testing.T) {
	shared, alone := Version{Epoch: 7, Position: 20, Revision: 10}, New().Current()
	for _, tc := range []struct {
		v               *Version
		epoch, revision uint64
		want            bool
	}{
		{&shared, 7, 9, false},
		{&shared, 7, 10, false},
		{&shared, 7, 20, false}, // there is no such revision
		{&shared, 7, 21, true},
		{&shared, 6, 21, false},
		{&shared, 8, 1, true},
		{&shared, alone.Epoch, 21, false},
		{alone, 7, 21, false},
		{alone, alone.Epoch, 21, false},
		{alone, New().Current().Epoch, 21, false},
	} {
		if got := tc.v.Precedes(tc.epoch, tc.revision); got != tc.want {
			t.Errorf("position %d of epoch %x precedes revision %d of %x: %v", tc.v.Position, tc.v.Epoch, tc.revision, tc.epoch, got)
		}
	}
}

// Until a new epoch is published the changes of the earlier one stay as they are.
func TestRestartIsPublishedAtOnce(t *testing.T) {
	l := New()
	defer l.Watch()()
	l.Show(originOf(1), filestest.Set("a"), nil)
	from := l.Current().Revision
	l.Show(originOf(2), filestest.Set("b"), nil)
	tx := l.Begin()
	defer tx.Commit()
	tx.Restart(7, 1)
	if c, ok := l.Since(from, anyOrigin); !ok || entriesOf(c.Added()) != "b" {
		t.Errorf("the changes since revision %d: %v, %v", from, c, ok)
	}
}

// A revision with more changes than one read takes is read alone, as a whole.
func TestChangesOfALargeRevision(t *testing.T) {
	l := New()
	defer l.Watch()()
	first := l.Show(originOf(0), filestest.Set("a"), nil)
	tx := l.Begin()
	tx.Advance(10)
	for n := range 2 * changesMost {
		tx.Show(originOf(n+1), filestest.Set("b"), nil)
	}
	tx.Commit()
	l.Drop(first)
	for _, tc := range []struct{ from, to uint64 }{{0, 1}, {1, 10}, {10, 11}} {
		c, ok := l.Since(tc.from, anyOrigin)
		if !ok || c.Revision != tc.to {
			t.Fatalf("the changes since %d go up to %d, %v", tc.from, c.Revision, ok)
		}
	}
}
