package render

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
)

// What is rendered by the run is what is rendered one entry at a time, be names
// and numbers of sources short or long.
func TestRunsAreEntries(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	text := func(n int) string { return strings.Repeat(string(rune('a'+r.IntN(3))), n) }
	lengths := []int{1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 300, 4000}
	for scouts, owners := range map[int]string{1: "one source", 9: "few", 300: "many"} {
		t.Run(owners, func(t *testing.T) {
			l := listing.New()
			for s := range scouts {
				var names []string
				for i := range 3000 / scouts {
					name := text(lengths[r.IntN(len(lengths))]) + text(lengths[r.IntN(len(lengths)-1)])
					if i%500 == 0 {
						name += "\n" // has to be escaped
					}
					names = append(names, name, fmt.Sprintf("same/%d", i))
				}
				l.Show(listingtest.Origin(s), filestest.Set(names...), nil)
			}
			merge(t, l)
			v := l.Current()
			for _, f := range []Format{JSON, NDJSON} {
				var runs, simple bytes.Buffer
				r := New()
				if _, err := writeLeaves(&runs, r.newEntries(v, f), v, v.Leaves()); err != nil {
					t.Fatal(err)
				}
				if _, err := writeSelection(&simple, r.newEntries(v, f), everything{v.Entries()}); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(runs.Bytes(), simple.Bytes()) {
					t.Errorf("%s: %d bytes, want %d", f, runs.Len(), simple.Len())
				}
			}
		})
	}
}
