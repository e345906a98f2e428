package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// Edits of many leaves find their places, whatever the distance between them.
func TestApplyFarApart(t *testing.T) {
	const names = 100_000 // in some six leaves
	ix := numbered(names)
	set := map[string]bool{}
	for _, e := range list(ix) {
		set[e.name] = true
	}
	r := rand.New(rand.NewPCG(1, 3))
	for range 30 {
		removed, added := map[string]bool{}, map[string]bool{}
		for range 1 + r.IntN(6) {
			name := fmt.Sprintf("d%05d/f%06d", r.IntN(names/100+2)-1, r.IntN(110))
			for range 1 + r.IntN(200) { // a few next to each other
				if set[name] {
					removed[name] = true
				} else {
					added[name] = true
				}
				name += "x"[:r.IntN(2)]
			}
		}
		next, err := ix.Apply(nil, Edit{Removed: sortedIndex(removed), Added: sortedIndex(added)})
		if err != nil {
			t.Fatal(err)
		}
		for n := range removed {
			delete(set, n)
		}
		for n := range added {
			set[n] = true
		}
		check(t, next, list(sortedIndex(set)))
		checkDiff(t, ix, next, removed, added)
		ix = next
	}
}

func TestGallop(t *testing.T) {
	for n := range 70 {
		for from := range n + 1 {
			asked := []int(nil)
			got := gallop(n, func(i int) bool {
				asked = append(asked, i)
				return i >= from
			})
			want := sort.Search(n, func(i int) bool { return i >= from })
			if got != want || len(asked) > 14 || from == 0 && len(asked) > 1 {
				t.Errorf("%d of %d: %d, asked %v", from, n, got, asked)
			}
			if len(asked) > 0 && (slices.Min(asked) < 0 || slices.Max(asked) >= n) {
				t.Errorf("%d of %d: asked %v", from, n, asked)
			}
		}
	}
}
