package index

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestExtractAgainstModel(t *testing.T) {
	for seed := range uint64(10) {
		r := rand.New(rand.NewPCG(seed, 11))
		var all []entry
		for i := range 20_000 {
			owner := uint32(r.IntN(4))
			if i/2000%2 == 0 {
				owner = uint32(i / 2000) // whole blocks of one owner
			}
			all = append(all, entry{fmt.Sprintf("d%02d/f%06d", i/500, i), owner})
		}
		wanted := func(owner uint32) bool { return owner%3 != 0 || owner == 99 }
		want := map[uint32][]entry{}
		for _, e := range all {
			if wanted(e.owner) {
				want[e.owner] = append(want[e.owner], e)
			}
		}
		found := build(all).Extract(wanted)
		if len(found) != len(want) {
			t.Fatalf("%d owners, want %d", len(found), len(want))
		}
		for owner, es := range want {
			check(t, found[owner], es)
		}
		for owner := range found {
			if !slices.ContainsFunc(all, func(e entry) bool { return e.owner == owner }) {
				t.Errorf("owner %d has no entries", owner)
			}
		}
	}
}
