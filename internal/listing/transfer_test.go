package listing

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
)

// twoOrigins are two sources, the first of which sorts after the second.
func twoOrigins() map[uint32]files.Origin {
	return map[uint32]files.Origin{0: originOf(0), 2: originOf(2)}
}

// packed returns names of a source as an Import gets them.
func packed(number uint32, names ...string) []byte {
	return slices.Concat(slices.Collect(filestest.Set(names...).Index().Owned(number).Pack(1<<20, nil))...)
}

// An Import refuses parts that are damaged, missing, doubled, out of order, or of
// sources that do not exist.
func TestImportRefuses(t *testing.T) {
	x, y := packed(0, "a/x"), packed(2, "a/y")
	for name, tc := range map[string]struct {
		parts []Part
		want  string
	}{
		"doubled":               {[]Part{{0, x}, {0, x}}, "does not sort after"},
		"out of order":          {[]Part{{0, y}, {0, x}}, "does not sort after"},
		"a run that is skipped": {[]Part{{0, x}, {2, y}}, errOrder.Error()},
		"of a list before":      {[]Part{{0, x}, {1, y}, {0, y}}, errOrder.Error()},
		"of no source":          {[]Part{{0, packed(1, "a")}}, errNoSource.Error()},
		"of a source beyond":    {[]Part{{0, packed(9, "a")}}, errNoSource.Error()},
		"owners do not ascend":  {[]Part{{0, packed(0, "a")}, {0, packed(2, "a")}}, "does not sort after"},
		"cut short":             {[]Part{{0, x[:len(x)-1]}}, "cut short"},
		"a run of two sources":  {[]Part{{1, x}, {1, y}}, errNoRun.Error()},
		"a run and main":        {[]Part{{0, packed(0, "a")}, {1, packed(0, "b")}}, errNoRun.Error()},
		"two runs of one":       {[]Part{{1, packed(0, "a")}, {2, packed(0, "b")}}, errNoRun.Error()},
		"a run of nothing":      {[]Part{{1, nil}}, errNoRun.Error()},
		"no name of a file":     {[]Part{{0, packed(0, "a/../b")}}, `the part ".."`},
		"too long":              {[]Part{{0, packed(0, strings.Repeat("x", files.MaxName+1))}}, "at most"},
	} {
		m := NewImport(twoOrigins())
		var err error
		for _, p := range tc.parts {
			err = errors.Join(err, m.Add(p))
		}
		if err = errors.Join(err, m.Finish()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: error %v, want %q", name, err, tc.want)
		}
	}
	m := NewImport(twoOrigins())
	for _, blocks := range [][]byte{packed(2, "a"), packed(0, "a")} {
		if err := m.Add(Part{0, blocks}); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Finish(); err != nil {
		t.Errorf("one name of two sources: %v", err)
	}
	m = NewImport(nil)
	if err := m.Finish(); err != nil {
		t.Errorf("an empty list: %v", err)
	}
}

// An Import stops taking parts once one was found to be wrong.
func TestImportFailsEarly(t *testing.T) {
	m := NewImport(twoOrigins())
	for i := 0; m.Add(Part{0, []byte{0}}) == nil; i++ {
		if i > 1_000_000 {
			t.Fatal("parts are taken though all are wrong")
		}
	}
	if err := m.Finish(); err == nil {
		t.Error("the error is forgotten")
	}
}

// FuzzImport takes any part as a list, and goes on with it.
func FuzzImport(f *testing.F) {
	f.Add(packed(0, "a/b", "c"), packed(2, "b"))
	f.Add(slices.Concat(packed(2, "a"), packed(0, "a", "b")), []byte(nil))
	f.Fuzz(func(t *testing.T, main, single []byte) {
		m := NewImport(twoOrigins())
		err := m.Add(Part{0, main})
		if len(single) > 0 && err == nil {
			err = m.Add(Part{1, single})
		}
		if errors.Join(err, m.Finish()) != nil {
			return
		}
		l := New()
		tx := l.Begin()
		tx.Restart(2, 100)
		sources := tx.Import(m)
		tx.Commit()
		checkEntries(t, l.Current())
		for n, s := range sources {
			if s == nil {
				continue
			}
			checkTotals(t, l.Current(), s.Origin, m.Totals(uint32(n)))
			added := files.Delta{Removed: filestest.Set(), Added: filestest.Set("\xff\xff\xff/new")}
			if _, err := l.Change(s, added); err != nil && !strings.Contains(err.Error(), "is there already") {
				t.Fatal(err)
			}
		}
		if err := l.Merge(); err != nil {
			t.Fatal(err)
		}
		checkEntries(t, l.Current())
		for _, s := range sources {
			if s != nil {
				l.Drop(s)
			}
		}
		if err := l.Merge(); err != nil || l.Current().Len > 0 {
			t.Fatalf("%d entries without sources, error %v", l.Current().Len, err)
		}
	})
}

// checkEntries checks that the entries ascend and are as many as the Version says.
func checkEntries(t *testing.T, v *Version) {
	t.Helper()
	all := read(v)
	if len(all) != v.Len || !slices.IsSortedFunc(all, func(a, b [3]string) int { return slices.Compare(a[:], b[:]) }) ||
		len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Fatalf("%d entries, Len is %d: %q", len(all), v.Len, all)
	}
}
