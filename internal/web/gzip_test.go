package web

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
)

func gunzip(t *testing.T, p []byte) []byte {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// Compressed and not, kept and not, the list is the same, whatever has happened
// to it.
func TestCompressedIsTheSameList(t *testing.T) {
	l, r := listing.New(), newRenderer()
	compare := func(when string) {
		t.Helper()
		for _, q := range []*query{everything, {prefixes: [][]byte{[]byte("d1"), []byte("d3")}}} {
			var plain, again bytes.Buffer
			for _, out := range []io.Writer{&plain, &again} {
				if err := r.write(out, asked(l.Current(), q, formatJSON, identity)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(plain.Bytes(), again.Bytes()) {
				t.Errorf("%s: the second answer has %d bytes, the first %d", when, again.Len(), plain.Len())
			}
			var simple bytes.Buffer
			some, err := writeSelection(&simple, newSelection(l.Current(), q, nil), formatJSON)
			if err != nil {
				t.Fatal(err)
			}
			if want := jsonHead + simple.String() + jsonEnd(some, ""); plain.String() != want {
				t.Errorf("%s: %d bytes, want %d", when, plain.Len(), len(want))
			}
			for f := formatJSON; f < formatEvents; f++ {
				compareCodings(t, r, l.Current(), q, f)
			}
		}
	}
	compare("empty")
	var sources []*listing.Source
	for n := range 3 {
		var names []string
		for i := range 60_000 {
			names = append(names, fmt.Sprintf("d%d/%d/é%d", i%7, n, i))
		}
		s := l.Show(listingtest.Origin(n), filestest.Set(names...), nil)
		sources = append(sources, s)
	}
	compare("runs")
	merge(t, l)
	compare("merged")
	if _, err := l.Change(sources[1], files.Delta{Removed: filestest.Set("d3/1/é3"), Added: filestest.Set("a", "z")}); err != nil {
		t.Fatal(err)
	}
	compare("changed")
	l.Drop(sources[0])
	compare("masked")
	merge(t, l)
	compare("swept")
	l.Drop(sources[1])
	l.Drop(sources[2])
	compare("all masked")
}

// compareCodings compares the answers in each coding with each other, twice: made
// and kept.
func compareCodings(t *testing.T, r *renderer, v *listing.Version, q *query, f format) {
	t.Helper()
	var plain bytes.Buffer
	if err := r.write(&plain, asked(v, q, f, identity)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []coding{codingGzip, codingZstd, codingGzip, codingZstd} {
		var packed bytes.Buffer
		if err := r.write(&packed, asked(v, q, f, c)); err != nil {
			t.Fatal(err)
		}
		if got := unpack(t, packed.Bytes(), c); !bytes.Equal(got, plain.Bytes()) {
			t.Errorf("%s, %s: %d bytes unpacked, want %d", f, c, len(got), plain.Len())
		}
	}
}

func unpack(t *testing.T, p []byte, c coding) []byte {
	t.Helper()
	if c == codingGzip {
		return gunzip(t, p)
	}
	z, err := zstd.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func merge(t *testing.T, l *listing.Listing) {
	t.Helper()
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
}

// What did not change is not compressed again.
func TestGzipKeepsStretches(t *testing.T) {
	l := listing.New()
	var names []string
	for i := range 200_000 {
		names = append(names, fmt.Sprintf("d%06d", i))
	}
	s := l.Show(listingtest.Origin(1), filestest.Set(names...), nil)
	merge(t, l)
	if err := newRenderer().write(io.Discard, asked(l.Current(), everything, formatJSON, codingGzip)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Change(s, files.Delta{Removed: filestest.Set(), Added: filestest.Set("d000007x")}); err != nil {
		t.Fatal(err)
	}
	leaves, fresh := l.Current().Leaves(), 0
	for _, leaf := range leaves {
		if leaf.Memo.Load() == nil {
			fresh++
		}
	}
	if fresh != 1 || len(leaves) < 3 {
		t.Errorf("%d of %d leaves are to be compressed again", fresh, len(leaves))
	}
}

func TestCombineCRC(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		text := make([]byte, r.IntN(5000))
		for i := range text {
			text[i] = byte(r.Uint32())
		}
		at := r.IntN(len(text) + 1)
		got := combineCRC(crc32.ChecksumIEEE(text[:at]), crc32.ChecksumIEEE(text[at:]), int64(len(text)-at))
		if want := crc32.ChecksumIEEE(text); got != want {
			t.Fatalf("%d bytes cut at %d: %08x, want %08x", len(text), at, got, want)
		}
	}
}

func BenchmarkGzip(b *testing.B) { benchmarkCoding(b, codingGzip) }
func BenchmarkZstd(b *testing.B) { benchmarkCoding(b, codingZstd) }

func benchmarkCoding(b *testing.B, c coding) {
	l, _ := listingtest.Fleet(b, 10, 1_000_000, filestest.Same)
	for name, q := range map[string]*query{"kept": everything, "on the fly": {prefixes: [][]byte{[]byte("t")}}} {
		b.Run(name, func(b *testing.B) {
			var s sink
			r := newRenderer()
			for b.Loop() {
				s.n = 0
				if err := r.write(&s, asked(l.Current(), q, formatJSON, c)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(s.n)/1e6, "MB")
		})
	}
}

// Of a list that goes on changing the text is kept all the same: what is garbage
// does not take its room for good.
func TestRoomOfAListThatChanges(t *testing.T) {
	l, sources := listingtest.Fleet(t, 10, 100_000, filestest.Same)
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nothing else collects garbage
	r := newRenderer()
	r.room = newRoom(12 << 20) // the list has 9 MB
	ask := func() {
		var s sink
		if err := r.write(&s, asked(l.Current(), everything, formatJSON, identity)); err != nil {
			t.Fatal(err)
		}
	}
	kept := func() (all, n int) {
		v := l.Current()
		for _, leaf := range v.Leaves() {
			all++
			if keptOf(v, leaf).text.Load() != nil {
				n++
			}
		}
		return all, n
	}
	for i := range 40 {
		name := filestest.Set(fmt.Sprintf("team/d%05d/new-%d", i*37%100, i))
		if _, err := l.Change(sources[i%10], files.Delta{Removed: filestest.Set(), Added: name}); err != nil {
			t.Fatal(err)
		}
		ask()
		ask()
	}
	for range 1000 {
		ask()
		if all, n := kept(); n == all {
			return
		}
		time.Sleep(time.Millisecond)
	}
	all, n := kept()
	t.Errorf("the text of %d leaves of %d is kept, %d bytes are left", n, all, r.room.left.Load())
}

// Text is kept while there is room, and the room comes back with what is
// garbage.
func TestRoom(t *testing.T) {
	r := newRoom(100)
	kept := []*text{r.take(60), r.take(60), r.take(40)}
	if kept[0] == nil || kept[1] != nil || kept[2] == nil || r.left.Load() != 0 {
		t.Errorf("%v, %d left", kept, r.left.Load())
	}
	runtime.KeepAlive(kept)
	kept[0] = nil
	for range 1000 {
		runtime.GC()
		if r.left.Load() == 60 {
			runtime.KeepAlive(kept)
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("%d left", r.left.Load())
}

func TestRoomWithinTheMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	if got := roomForText().size; got != textRoom {
		t.Errorf("%d bytes for text without a limit", got)
	}
	debug.SetMemoryLimit(128 << 20)
	if got := roomForText().size; got != 16<<20 {
		t.Errorf("%d bytes for text of 128 MiB", got)
	}
}
