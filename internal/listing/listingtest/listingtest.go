// Package listingtest makes listings for tests.
package listingtest

import (
	"fmt"
	"testing"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
)

// Origin returns the n-th of up to 500 origins. Hosts sort the other way round
// than their numbers.
func Origin(n int) files.Origin {
	return files.Origin{Host: fmt.Sprintf("host-%03d", 500-n), Directory: "/srv"}
}

// Fleet returns a Listing of so many entries, evenly of so many scouts, merged,
// and the scouts' sources.
func Fleet(tb testing.TB, scouts, entries int, shape filestest.Shape) (*listing.Listing, []*listing.Source) {
	tb.Helper()
	l := listing.New()
	var sources []*listing.Source
	for s := range scouts {
		origin := files.Origin{Host: fmt.Sprintf("host-%04d", s), Directory: "/srv/data"}
		sources = append(sources, l.Show(origin, filestest.Names(s, entries/scouts, shape), nil))
	}
	if err := l.Merge(); err != nil {
		tb.Fatal(err)
	}
	return l, sources
}
