package filestest

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"scout/internal/files"
)

// Shape makes the name of a scout's i-th file. Names have about 47 bytes. Each
// directory has 100 files, except in Interleaved.
type Shape func(scout, i int, r *rand.Rand) string

// Apart gives each scout its own directories: long runs of the merged list belong
// to one scout.
func Apart(scout, i int, _ *rand.Rand) string {
	return fmt.Sprintf("region/team-%04d/service/d%05d/file-%06d.dat", scout, i/100, i%100)
}

// Same gives all scouts the same names, as similar hosts have.
func Same(_, i int, _ *rand.Rand) string {
	return fmt.Sprintf("region/team-0000/service/d%05d/file-%06d.dat", i/100, i%100)
}

// Interleaved gives all scouts different names that interleave at random.
func Interleaved(scout, _ int, r *rand.Rand) string {
	return fmt.Sprintf("team/services/d%05d/file-%09d-%04d.dat", r.IntN(10_000), r.IntN(1e9), scout)
}

// Names returns the set of n names of a scout. It is the same in each call.
func Names(scout, n int, shape Shape) *files.Set {
	r := rand.New(rand.NewPCG(uint64(scout), 1))
	known := make(map[string]bool, n)
	names := make([]string, 0, n)
	for i := 0; len(names) < n; i++ {
		if name := shape(scout, i, r); !known[name] {
			known[name] = true
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b files.Builder
	for _, name := range names {
		b.Add([]byte(name))
	}
	return b.Set()
}
