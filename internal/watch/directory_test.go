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

// TestDoubtful compares the directories that a poll verifies with those that it
// has to, while watches end and subtrees come and go.
func TestDoubtful(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p {a,b,c}/{1..5}/{x,y}")
	f := scanned(t, dir, realNotifier)
	r := rand.New(rand.NewPCG(1, 0))
	for i := range 300 {
		all := f.directories(func(*directory) bool { return true })
		switch d := all[r.IntN(len(all))]; {
		case i%3 == 0 && d != f.root:
			f.drop(d)
		case i%3 == 1 && d.sub("y") == nil:
			f.grow(d, "y")
		default:
			f.setWatched(d, r.IntN(4) > 0)
		}
		want := f.directories(f.isDoubtful)
		if got := f.doubtful(); !slices.Equal(got, want) {
			t.Fatalf("after %d steps %d directories are doubtful, want %d", i, len(got), len(want))
		}
		if int(f.root.polled) != len(want) {
			t.Fatalf("after %d steps %d directories are polled, want %d", i, f.root.polled, len(want))
		}
	}
}

// The first list says how many directories are not watched yet.
func TestListedBeforeItIsWatched(t *testing.T) {
	dir := in(t)
	shell(t, dir, "mkdir -p a/b; touch a/b/f")
	if v := listed(t, dir, quietNotifier).forest.View(); v.Set == nil || v.Polled != 3 {
		t.Errorf("the first list is shown as %s, want 3 polled directories", describe(v))
	}
}
