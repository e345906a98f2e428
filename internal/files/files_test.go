package files

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
)

func setOf(names ...string) *Set {
	slices.Sort(names)
	var b Builder
	for _, n := range slices.Compact(names) {
		b.Add([]byte(n))
	}
	return b.Set()
}

func names(s *Set) []string {
	var out []string
	for c := s.Cursor(); c.Next(); {
		out = append(out, string(c.Name()))
	}
	return out
}

// digest computes the digest of a Set as its documentation defines it.
func digest(names []string) (d uint64) {
	for _, n := range names {
		d += xxhash.Sum64String(n)
	}
	return d
}

func TestSetAgainstMap(t *testing.T) {
	for seed := range uint64(5) {
		r := rand.New(rand.NewPCG(seed, 0))
		model := map[string]bool{}
		s := new(Set)
		for range 40 {
			next := maps.Clone(model)
			for range r.IntN(400) {
				n := fmt.Sprintf("d%d/f%d", r.IntN(30), r.IntN(60))
				if next[n] {
					delete(next, n)
				} else {
					next[n] = true
				}
			}
			want := setOf(slices.Collect(maps.Keys(next))...)
			d := Diff(s, want)
			got, err := s.Apply(d)
			if err != nil {
				t.Fatal(err)
			}
			sorted := slices.Sorted(maps.Keys(next))
			if !slices.Equal(names(got), sorted) || got.Len() != len(sorted) {
				t.Fatalf("seed %d: the set differs from the map", seed)
			}
			if got.Digest() != digest(sorted) || got.Digest() != want.Digest() {
				t.Fatalf("seed %d: digest %x, want %x", seed, got.Digest(), digest(sorted))
			}
			for n := range next {
				if model[n] == setContains(d.Added, n) {
					t.Fatalf("%q: known before is %v, added is %v", n, model[n], setContains(d.Added, n))
				}
			}
			s, model = got, next
		}
	}
}

func setContains(s *Set, n string) bool { return s.Contains([]byte(n)) }

func TestPartsCarryASet(t *testing.T) {
	var all []string
	for i := range 20_000 {
		all = append(all, fmt.Sprintf("some/dir-%03d/file-%d\xff", i/100, i))
	}
	all = append(all, strings.Repeat("x", 255), "new\nline", strings.Repeat("y/", 2047)+"z")
	s := setOf(all...)
	var b Builder
	parts := 0
	for part := range s.Parts(16 << 10) {
		if len(part) > 32<<10 {
			t.Errorf("a part of %d bytes", len(part))
		}
		if err := b.Append(part); err != nil {
			t.Fatal(err)
		}
		parts++
	}
	got := b.Set()
	if !slices.Equal(names(got), names(s)) || got.Digest() != s.Digest() || parts < 5 {
		t.Errorf("%d names in %d parts became %d", s.Len(), parts, got.Len())
	}
	for range new(Set).Parts(100) {
		t.Error("an empty set has a part")
	}
}

// encode front-codes names without shared bytes and without checks.
func encode(names ...string) []byte {
	var p []byte
	for _, n := range names {
		p = append(p, 0)
		p = binary.AppendUvarint(p, uint64(len(n)))
		p = append(p, n...)
	}
	return p
}

func TestAppendRefuses(t *testing.T) {
	for _, tc := range []struct {
		part []byte
		want string
	}{
		{encode(""), "empty part"},
		{encode("/etc/passwd"), "empty part"},
		{encode("a//b"), "empty part"},
		{encode("a/"), "empty part"},
		{encode(".."), `the part ".."`},
		{encode("a/../b"), `the part ".."`},
		{encode("./a"), `the part "."`},
		{encode("a\x00b"), "NUL"},
		{encode("b", "a"), "does not sort after"},
		{encode("a", "a"), "does not sort after"},
		{encode(strings.Repeat("x", MaxName+1)), "at most 4096"},
		{[]byte{1, 1, 'x'}, "shares 1 bytes with one of 0"},
		{append(encode("ab"), 3, 0), "shares 3 bytes with one of 2"},
		{append(encode("a/b"), 2, 2, '.', '.'), "does not sort after"},
		{append(encode("a/+"), 2, 2, '.', '.'), `the part ".."`},
		{append(encode("a/+"), 2, 0), "does not sort after"},
		{[]byte{0}, "cut short"},
		{[]byte{0, 5, 'a'}, "cut short"},
		{[]byte{0x80}, "cut short"},
		{[]byte{0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, "cut short"},
	} {
		if err := new(Builder).Append(tc.part); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q: error %v, want %q", tc.part, err, tc.want)
		}
	}
	var b Builder
	if err := b.Append(encode("m")); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(encode("c")); err == nil {
		t.Error("a part that sorts before the last was taken")
	}
}

func FuzzAppend(f *testing.F) {
	f.Add(encode("a", "b/c"))
	f.Add([]byte{0, 1, 'a', 1, 1, 'b', 0xff})
	f.Fuzz(func(t *testing.T, part []byte) {
		var b Builder
		if b.Append(part) != nil {
			return
		}
		s := b.Set()
		all := names(s)
		if !slices.IsSorted(all) || len(slices.Compact(slices.Clone(all))) != len(all) {
			t.Fatalf("taken, though not ascending: %q", all)
		}
		for _, n := range all {
			for p := range strings.SplitSeq(n, "/") {
				if p == "" || p == "." || p == ".." || strings.Contains(p, "\x00") || len(n) > MaxName {
					t.Fatalf("taken, though no file has the name %q", n)
				}
			}
		}
		var again Builder
		for p := range s.Parts(1 << 10) {
			if err := again.Append(p); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Equal(names(again.Set()), all) {
			t.Fatal("a round trip changed the names")
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	var bl Builder
	for i := range 1_000_000 {
		bl.Add(fmt.Appendf(nil, "some/longer/directory/d%05d/file-%06d.txt", i/100, i%100))
	}
	s := bl.Set()
	var parts [][]byte
	for p := range s.Parts(32 << 10) {
		parts = append(parts, slices.Clone(p))
	}
	b.ReportAllocs()
	for b.Loop() {
		var bl Builder
		for _, p := range parts {
			if err := bl.Append(p); err != nil {
				b.Fatal(err)
			}
		}
		bl.Set()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/name")
}
