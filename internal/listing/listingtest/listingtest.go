// Package listingtest makes listings for tests.
package listingtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
)

// Shape makes the names of one scout of a fleet.
type Shape func(scout, i int, r *rand.Rand) string

// Apart gives each scout directories of its own.
func Apart(scout, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team-%03d/d%05d/file-%06d.dat", scout, i/100, i%100)
}

// Same gives all scouts the same names.
func Same(_, i int, _ *rand.Rand) string {
	return fmt.Sprintf("team/d%05d/file-%06d.dat", i/100, i%100)
}

// Interleaved gives all scouts names that sort between each other's at random.
func Interleaved(_, _ int, r *rand.Rand) string {
	return fmt.Sprintf("team/d%05d/file-%09d.dat", r.IntN(10_000), r.IntN(1e9))
}

// Origin returns the n-th of up to 500 origins. Hosts sort the other way round
// than their numbers.
func Origin(n int) files.Origin {
	return files.Origin{Host: fmt.Sprintf("host-%03d", 500-n), Directory: "/srv"}
}

// Fleet returns a Listing of so many entries, evenly of so many scouts, merged,
// and the scouts' sources.
func Fleet(tb testing.TB, scouts, entries int, name Shape) (*listing.Listing, []*listing.Source) {
	tb.Helper()
	l := listing.New()
	r := rand.New(rand.NewPCG(1, 1))
	var sources []*listing.Source
	for s := range scouts {
		names := make([]string, entries/scouts)
		for i := range names {
			names[i] = name(s, i, r)
		}
		origin := files.Origin{Host: fmt.Sprintf("host-%04d", s), Directory: "/srv/data"}
		sources = append(sources, l.Show(origin, filestest.Set(names...), nil))
	}
	if err := l.Merge(); err != nil {
		tb.Fatal(err)
	}
	return l, sources
}
