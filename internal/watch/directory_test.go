package watch

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestFollowing walks a tree from directory to directory while subtrees leave it.
func TestFollowing(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		root := new(directory)
		all := []*directory{root}
		for i := range 60 {
			parent := all[r.IntN(len(all))]
			sub := &directory{name: strconv.Itoa(i), parent: parent}
			parent.attach(sub)
			all = append(all, sub)
		}
		all = all[:0]
		root.each(func(d *directory) { all = append(all, d) })

		var walked []*directory
		var left []*directory // before the walk came to them
		for d := root; d != nil; d = d.following() {
			walked = append(walked, d)
			if gone := all[r.IntN(len(all))]; gone != root && !gone.detached && r.IntN(4) == 0 {
				gone.each(func(d *directory) {
					d.detached = true
					if !slices.Contains(walked, d) {
						left = append(left, d)
					}
				})
				gone.parent.detach(gone)
			}
		}
		want := slices.DeleteFunc(slices.Clone(all), func(d *directory) bool { return slices.Contains(left, d) })
		if !slices.Equal(walked, want) {
			t.Fatalf("seed %d: %d directories were walked, want %d", seed, len(walked), len(want))
		}
	}
}
