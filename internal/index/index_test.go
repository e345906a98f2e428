package index

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// entry is an entry of the model.
type entry struct {
	name  string
	owner uint32
}

// backwards is the reverse Order of the numbers.
func backwards(a, b uint32) int { return int(b) - int(a) }

func compareEntries(order Order) func(a, b entry) int {
	return func(a, b entry) int {
		return order.compare([]byte(a.name), a.owner, []byte(b.name), b.owner)
	}
}

func build(entries []entry) *Index {
	var b Builder
	for _, e := range entries {
		b.Add([]byte(e.name), e.owner)
	}
	return b.Index()
}

func buildNames(owner uint32, names ...string) *Index {
	var b Builder
	for _, n := range names {
		b.Add([]byte(n), owner)
	}
	return b.Index()
}

// checkBefore checks what an Index says of the entries before a name.
func checkBefore(t testing.TB, ix *Index, want []entry, name string) {
	t.Helper()
	n := 0
	for n < len(want) && want[n].name < name {
		n++
	}
	if got := ix.Before([]byte(name)); got != n {
		t.Fatalf("%d entries are before %q, want %d", got, name, n)
	}
	start := ix.LastStart(func(first []byte) bool { return string(first) <= name })
	if start == nil {
		if want[0].name <= name {
			t.Fatalf("no block starts before %q", name)
		}
		return
	}
	// A block may begin between two owners of one name.
	if between := ix.Before([]byte(name)) - ix.Before(start); string(start) > name || between > blockMax+blockMin {
		t.Fatalf("the last block before %q starts at %q, %d entries before", name, start, between)
	}
}

func list(ix *Index) []entry {
	var es []entry
	for c := ix.Cursor(); c.Next(); {
		es = append(es, entry{string(c.Name()), c.Owner()})
	}
	return es
}

// check checks the structure of an Index, and that it has exactly these entries.
func check(t testing.TB, ix *Index, want []entry) {
	t.Helper()
	if got := list(ix); !slices.Equal(got, want) {
		t.Fatalf("entries differ: got %d, want %d", len(got), len(want))
	}
	if ix.Len() != len(want) {
		t.Fatalf("Len is %d, want %d", ix.Len(), len(want))
	}
	for i := 0; i < len(want); i += 1 + len(want)/7 {
		for _, name := range []string{want[i].name, want[i].name + "\x00", want[i].name[:len(want[i].name)/2]} {
			checkBefore(t, ix, want, name)
		}
	}
	n, size := 0, 0
	for _, l := range ix.leaves {
		ln, lsize := 0, 0
		for i := range l.blocks {
			bl := &l.blocks[i]
			if bl.n == 0 || bl.n > blockMax+blockMin {
				t.Fatalf("a block of %d entries", bl.n)
			}
			ln += int(bl.n)
			lsize += len(bl.data)
		}
		if ln != l.len || lsize != l.size || len(l.blocks) == 0 || len(l.blocks) >= 2*leafTarget {
			t.Fatalf("a leaf of %d blocks says %d entries, %d bytes; it has %d, %d", len(l.blocks), l.len, l.size, ln, lsize)
		}
		n += ln
		size += lsize
	}
	if n != ix.len || size != ix.size {
		t.Fatalf("the index says %d entries, %d bytes; it has %d, %d", ix.len, ix.size, n, size)
	}
}

// randomName returns names that often share prefixes, contain each other, and
// have odd bytes and lengths.
func randomName(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(4) {
		switch r.IntN(12) {
		case 0:
			b.WriteString(strings.Repeat("x", r.IntN(300)))
		case 1:
			b.WriteByte(byte(1 + r.IntN(255)))
		default:
			fmt.Fprintf(&b, "%d", r.IntN(50))
		}
		b.WriteString([]string{"/", "", ".", "-"}[r.IntN(4)])
	}
	if b.Len() == 0 {
		return "e"
	}
	return b.String()
}

func TestApplyAgainstModel(t *testing.T) {
	for _, owners := range []uint32{1, 7} {
		for seed := range uint64(8) {
			t.Run(fmt.Sprintf("%d owners, seed %d", owners, seed), func(t *testing.T) {
				model(t, rand.New(rand.NewPCG(seed, 1)), owners)
			})
		}
	}
}

// model edits an Index and a sorted slice in the same way.
func model(t *testing.T, r *rand.Rand, owners uint32) {
	var want []entry
	ix := new(Index)
	order := Order(backwards)
	cmp := compareEntries(order)
	for round := range 120 / (1 + int(owners)) {
		var edits []Edit
		now := slices.Clone(want)
		removed, added := map[string]bool{}, map[string]bool{}
		for _, owner := range r.Perm(int(owners))[:1+r.IntN(int(owners))] {
			removed, added = randomEdit(r, want, uint32(owner))
			edits = append(edits, Edit{Removed: sortedIndex(removed), Added: sortedIndex(added), Owner: uint32(owner)})
			now = slices.DeleteFunc(now, func(e entry) bool { return e.owner == uint32(owner) && removed[e.name] })
			for n := range added {
				now = append(now, entry{n, uint32(owner)})
			}
		}
		slices.SortFunc(now, cmp)

		before := list(ix)
		next, err := ix.Apply(order, edits...)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		check(t, next, now)
		check(t, ix, before) // the old one never changes
		if owners == 1 {
			checkDiff(t, ix, next, removed, added)
		}
		checkFits(t, ix, next, order, edits)
		ix, want = next, now
		checkSeek(t, r, ix, want)
	}
}

// randomEdit returns names for one owner to remove from an Index, and to add to it.
func randomEdit(r *rand.Rand, entries []entry, owner uint32) (removed, added map[string]bool) {
	removed, added = map[string]bool{}, map[string]bool{}
	for range r.IntN(1 << r.IntN(12)) {
		if n := randomName(r); r.IntN(3) > 0 {
			added[n] = true
		}
	}
	shrink := r.IntN(3)
	for _, e := range entries {
		delete(added, cond(e.owner == owner, e.name, ""))
		if e.owner == owner && (r.IntN(20) == 0 || shrink == 0 && r.IntN(5) > 0) {
			removed[e.name] = true
		}
	}
	for n := range removed {
		delete(added, n)
	}
	return removed, added
}

// checkFits checks that edits fit into the Index that they were applied to, and not
// into the one that they made.
func checkFits(t *testing.T, before, after *Index, order Order, edits []Edit) {
	t.Helper()
	for _, e := range edits {
		if err := before.Fits(order, e); err != nil {
			t.Errorf("an edit that fits: %v", err)
		}
		_, want := after.Apply(order, e)
		if got := after.Fits(order, e); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Fits says %v, and Apply %v", got, want)
		}
	}
}

func cond[T any](b bool, x, y T) T {
	if b {
		return x
	}
	return y
}

func sortedIndex(set map[string]bool) *Index {
	names := make([]string, 0, len(set))
	for n := range set {
		names = append(names, n)
	}
	slices.Sort(names)
	return buildNames(0, names...)
}

func checkDiff(t *testing.T, from, to *Index, removed, added map[string]bool) {
	t.Helper()
	var gotRemoved, gotAdded Builder
	Diff(from, to,
		func(n []byte) { gotRemoved.Add(n, 0) },
		func(n []byte) { gotAdded.Add(n, 0) })
	check(t, gotRemoved.Index(), list(sortedIndex(removed)))
	check(t, gotAdded.Index(), list(sortedIndex(added)))
}

func checkSeek(t *testing.T, r *rand.Rand, ix *Index, want []entry) {
	t.Helper()
	c := ix.Cursor()
	for range 50 {
		name := randomName(r)
		if len(want) > 0 && r.IntN(2) == 0 {
			name = want[r.IntN(len(want))].name
		}
		c.Seek([]byte(name))
		i, _ := slices.BinarySearchFunc(want, name, func(e entry, n string) int { return strings.Compare(e.name, n) })
		for range r.IntN(300) {
			if got := c.Next(); got != (i < len(want)) {
				t.Fatalf("after Seek(%q): Next is %v at %d of %d", name, got, i, len(want))
			}
			if i == len(want) {
				break
			}
			if string(c.Name()) != want[i].name || c.Owner() != want[i].owner {
				t.Fatalf("after Seek(%q): got %q, want %v", name, c.Name(), want[i])
			}
			i++
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	ix := buildNames(0, "a", "b", "c")
	for _, tc := range []struct {
		removed, added *Index
		owner          uint32
		want           string
	}{
		{buildNames(0, "bb"), new(Index), 0, `removed "bb" is not there`},
		{buildNames(0, "d"), new(Index), 0, `removed "d" is not there`},
		{buildNames(0, "a"), new(Index), 1, `removed "a" is not there`},
		{new(Index), buildNames(0, "b"), 0, `added "b" is there already`},
		{buildNames(0, "x"), buildNames(0, "x"), 0, `"x" is both removed and added`},
	} {
		e := Edit{Removed: tc.removed, Added: tc.added, Owner: tc.owner}
		for _, edits := range [][]Edit{{e}, {{Removed: new(Index), Added: buildNames(0, "0", "z"), Owner: 2}, e}} {
			got, err := ix.Apply(nil, edits...)
			if got != nil || err == nil || err.Error() != tc.want {
				t.Errorf("got %v, %v; want %q", got, err, tc.want)
			}
		}
		if err := ix.Fits(nil, e); err == nil || err.Error() != tc.want {
			t.Errorf("Fits returns %v, want %q", err, tc.want)
		}
	}
}

func TestApplySharesWhatItDoesNotTouch(t *testing.T) {
	ix := numbered(1_000_000)
	next, err := ix.Apply(nil, Edit{Removed: new(Index), Added: buildNames(0, "d00500/f000050x")})
	if err != nil {
		t.Fatal(err)
	}
	old := map[*byte]bool{}
	for _, l := range ix.leaves {
		for _, b := range l.blocks {
			old[&b.data[0]] = true
		}
	}
	fresh := 0
	for _, l := range next.leaves {
		for _, b := range l.blocks {
			if !old[&b.data[0]] {
				fresh++
			}
		}
	}
	if fresh != 1 {
		t.Errorf("one added name made %d new blocks", fresh)
	}
}

// numbered returns an Index of n paths, a hundred in each directory.
func numbered(n int) *Index {
	var b Builder
	for i := range n {
		b.Add(fmt.Appendf(nil, "d%05d/f%06d", i/100, i%100), 0)
	}
	return b.Index()
}

func TestMergeAgainstModel(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 2))
		order := Order(backwards)
		var want []entry
		var inputs []*Index
		dead := r.Uint32N(5)
		for owner := range uint32(1 + r.IntN(8)) {
			names := map[string]bool{}
			prefix := cond(r.IntN(2) == 0, fmt.Sprintf("%d/", owner), "")
			for range r.IntN(3000) {
				names[prefix+randomName(r)] = true
			}
			own := sortedIndex(names).Owned(owner)
			inputs = append(inputs, own)
			want = append(want, list(own)...)
		}
		slices.SortFunc(want, compareEntries(order))
		var read []entry
		m := NewMerger(order, inputs...)
		for m.Next() {
			read = append(read, entry{string(m.Name()), m.Owner()})
		}
		if !slices.Equal(read, want) {
			t.Fatalf("seed %d: the merger read %d entries, want %d", seed, len(read), len(want))
		}
		m.Seek([]byte("3"))
		rest := slices.DeleteFunc(slices.Clone(want), func(e entry) bool { return e.name < "3" })
		for i := 0; m.Next(); i++ {
			if string(m.Name()) != rest[i].name {
				t.Fatalf("seed %d: after Seek entry %d is %q, want %q", seed, i, m.Name(), rest[i].name)
			}
		}
		all := Merge(order, func(uint32) bool { return true }, inputs...)
		check(t, all, want)
		live := slices.DeleteFunc(slices.Clone(want), func(e entry) bool { return e.owner == dead })
		check(t, Merge(order, func(o uint32) bool { return o != dead }, all), live)
	}
}

func TestLongAndOddNames(t *testing.T) {
	var es []entry
	for i := range 300 {
		es = append(es, entry{strings.Repeat("p/", 1+i*6) + "\xff\n", uint32(i % 3)})
	}
	slices.SortFunc(es, compareEntries(nil))
	ix := build(es)
	check(t, ix, es)
	if ix.Size() > 100_000 {
		t.Errorf("%d bytes for names that share nearly everything", ix.Size())
	}
}

func FuzzApply(f *testing.F) {
	f.Add([]byte("a\nb\nc"), []byte("b"), []byte("bb\nd"))
	f.Fuzz(func(t *testing.T, base, removed, added []byte) {
		split := func(p []byte) map[string]bool {
			m := map[string]bool{}
			for n := range bytes.SplitSeq(p, []byte("\n")) {
				if len(n) > 0 {
					m[string(n)] = true
				}
			}
			return m
		}
		have, r, a := split(base), split(removed), split(added)
		legal := true
		want := map[string]bool{}
		for n := range have {
			want[n] = true
		}
		for n := range r {
			legal = legal && have[n] && !a[n]
			delete(want, n)
		}
		for n := range a {
			legal = legal && !have[n]
			want[n] = true
		}
		got, err := sortedIndex(have).Apply(nil, Edit{Removed: sortedIndex(r), Added: sortedIndex(a)})
		if legal != (err == nil) {
			t.Fatalf("legal is %v, error is %v", legal, err)
		}
		if err == nil {
			check(t, got, list(sortedIndex(want)))
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for b.Loop() {
		numbered(100_000)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/name")
}

func BenchmarkRead(b *testing.B) {
	ix := numbered(1_000_000)
	b.ReportMetric(float64(ix.Size())/1e6, "B/name")
	for b.Loop() {
		n := 0
		for c := ix.Cursor(); c.Next(); {
			n += len(c.Name())
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/name")
}

func BenchmarkApplyOne(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ix := numbered(n)
			e := Edit{Removed: new(Index), Added: buildNames(0, "d00000/f000050x")}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ix.Apply(nil, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkApplyMany has so many changes of one name each, all over a list.
func BenchmarkApplyMany(b *testing.B) {
	for _, n := range []int{10_000, 1_000_000} {
		ix := numbered(n)
		for _, many := range []int{1, 30, 300} {
			edits := make([]Edit, many)
			for i := range edits {
				edits[i] = Edit{Removed: new(Index), Added: buildNames(0, fmt.Sprintf("d%05d/new", i*(n/100)/many)), Owner: uint32(i)}
			}
			b.Run(fmt.Sprintf("%d/%d", n, many), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ix.Apply(nil, edits...); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*many), "ns/edit")
			})
		}
	}
}

func BenchmarkDiffOne(b *testing.B) {
	for _, n := range []int{100, 10_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ix := numbered(n)
			to, _ := ix.Apply(nil, Edit{Removed: new(Index), Added: buildNames(0, "d00000/f000050x")})
			none := func([]byte) {}
			b.ReportAllocs()
			for b.Loop() {
				Diff(ix, to, none, none)
			}
		})
	}
}

func BenchmarkMerge(b *testing.B) {
	for _, k := range []int{10, 1000} {
		for _, shape := range []string{"apart", "interleaved"} {
			b.Run(fmt.Sprintf("%d %s", k, shape), func(b *testing.B) {
				r := rand.New(rand.NewPCG(1, 1))
				var inputs []*Index
				for o := range k {
					names := map[string]bool{}
					for i := range 1_000_000 / k {
						names[cond(shape == "apart", fmt.Sprintf("d%05d/f%06d", o, i), fmt.Sprintf("d%05d/f%06d", r.IntN(10000), r.IntN(1000_000)))] = true
					}
					inputs = append(inputs, sortedIndex(names).Owned(uint32(o)))
				}
				for b.Loop() {
					Merge(nil, func(uint32) bool { return true }, inputs...)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/name")
			})
		}
	}
}
