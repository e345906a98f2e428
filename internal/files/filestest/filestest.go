// Package filestest makes sets, trees, and the names of whole fleets of scouts,
// for tests and benchmarks.
package filestest

import (
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"testing"

	"github.com/klauspost/compress/zstd"

	"scout/internal/files"
)

// Set returns the set of the names. They may be unsorted and repeated.
func Set(names ...string) *files.Set {
	var b files.Builder
	for _, n := range slices.Compact(slices.Sorted(slices.Values(names))) {
		b.Add([]byte(n))
	}
	return b.Set()
}

// Unpack returns the text of a list in the coding gzip or zstd.
func Unpack(tb testing.TB, packed []byte, coding string) []byte {
	tb.Helper()
	var z io.Reader
	var err error
	if coding == "gzip" {
		z, err = gzip.NewReader(bytes.NewReader(packed))
	} else {
		var d *zstd.Decoder
		if d, err = zstd.NewReader(bytes.NewReader(packed)); err == nil {
			defer d.Close()
		}
		z = d
	}
	if err != nil {
		tb.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	return text
}
