package render

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"go.uber.org/goleak"

	"scout/internal/files"
	"scout/internal/files/filestest"
	"scout/internal/listing"
	"scout/internal/listing/listingtest"
	"scout/internal/wake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// withPrefix selects the entries whose names begin with a prefix.
type withPrefix struct {
	*listing.Entries
	prefix string
}

func (s withPrefix) Next() bool {
	for s.Entries.Next() {
		if strings.HasPrefix(string(s.Name()), s.prefix) {
			return true
		}
	}
	return false
}

func (withPrefix) Err() error { return nil }

// selections are what the tests write of a Version. Each call returns a new
// reader; nil is the whole Version.
var selections = map[string]func(v *listing.Version) Selection{
	"everything": func(*listing.Version) Selection { return nil },
	"some":       func(v *listing.Version) Selection { return withPrefix{v.Entries(), "d1"} },
	"nothing":    func(v *listing.Version) Selection { return withPrefix{v.Entries(), "nothing"} },
}

func written(t *testing.T, r *Renderer, l *List) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := r.Write(&out, l); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// In every coding, cached and not, a list is the same, whatever has happened to
// it.
func TestCompressedIsTheSameList(t *testing.T) {
	l, r := listing.New(), New()
	compare := func(when string) {
		t.Helper()
		v := l.Current()
		for what, selection := range selections {
			for _, f := range []Format{JSON, NDJSON, Text, NUL} {
				plain := written(t, r, &List{Version: v, Selection: selection(v), Format: f, Coding: Identity})
				var simple Selection = everything{v.Entries()}
				if s := selection(v); s != nil {
					simple = s
				}
				want := written(t, r, &List{Version: v, Selection: simple, Format: f, Coding: Identity})
				if !bytes.Equal(plain, want) {
					t.Errorf("%s, %s, %s: %d bytes leaf by leaf, %d entry by entry", when, what, f, len(plain), len(want))
				}
				for _, c := range []Coding{Gzip, Zstd, Gzip, Zstd} {
					packed := written(t, r, &List{Version: v, Selection: selection(v), Format: f, Coding: c})
					if got := filestest.Unpack(t, packed, c.String()); !bytes.Equal(got, plain) {
						t.Errorf("%s, %s, %s, %s: %d bytes unpacked, want %d", when, what, f, c, len(got), len(plain))
					}
				}
			}
		}
	}
	compare("empty")
	var sources []*listing.Source
	for n := range 3 {
		var names []string
		for i := range 20_000 {
			names = append(names, fmt.Sprintf("d%d/%d/é%d", i%7, n, i))
		}
		sources = append(sources, l.Show(listingtest.Origin(n), filestest.Set(names...), nil))
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

func merge(t *testing.T, l *listing.Listing) {
	t.Helper()
	if err := l.Merge(); err != nil {
		t.Fatal(err)
	}
}

// A change leaves the segments of the other leaves cached.
func TestSegmentsAreCached(t *testing.T) {
	l := listing.New()
	var names []string
	for i := range 200_000 {
		names = append(names, fmt.Sprintf("d%06d", i))
	}
	s := l.Show(listingtest.Origin(1), filestest.Set(names...), nil)
	merge(t, l)
	r := New()
	list := func() *List { return &List{Version: l.Current(), Format: JSON, Coding: Gzip} }
	written(t, r, list())
	if _, err := l.Change(s, files.Delta{Removed: filestest.Set(), Added: filestest.Set("d000007x")}); err != nil {
		t.Fatal(err)
	}
	missing, leaves := 0, l.Current().Leaves()
	for _, leaf := range leaves {
		if !r.segments.has(newSegmentKey(list(), leaf)) {
			missing++
		}
	}
	if missing != 1 || len(leaves) < 3 {
		t.Errorf("%d of %d leaves are to be compressed again, want 1", missing, len(leaves))
	}
}

// has reports whether a segment is cached.
func (c *segmentCache) has(key segmentKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	return e != nil && e.Value.(*cachedSegment).wait != nil
}

// ofBytes returns a function that makes a segment of n bytes.
func ofBytes(n int) func() *segment {
	return func() *segment { return &segment{data: make([]byte, n)} }
}

// Segments of leaves that no list has any more are dropped, however much room there
// is.
func TestCacheDropsWhatNoListHas(t *testing.T) {
	c := newSegmentCache(1 << 30)
	fill := func() (kept *listing.Version) {
		l, _ := listingtest.Fleet(t, 1, 1000, filestest.Same)
		v := l.Current()
		for _, leaf := range v.Leaves() {
			c.get(newSegmentKey(&List{Version: v, Format: JSON}, leaf), ofBytes(1000))
		}
		return v
	}
	for range 10 {
		fill()
	}
	kept := fill()
	cached := func() (n int, used int64) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.entries), c.used
	}
	want := len(kept.Leaves())
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		runtime.GC() // cleanups run soon after it
		n, used := cached()
		if n == want && used == int64(n)*(1000+segmentOverhead) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d segments of %d bytes are cached, want %d", n, used, want)
		}
	}
	runtime.KeepAlive(kept)
}

// Answers that need the same segment at the same time make it once, and none of
// them waits for the client of another.
func TestSegmentIsMadeOnce(t *testing.T) {
	l, _ := listingtest.Fleet(t, 1, 20_000, filestest.Same)
	v, r := l.Current(), New()
	list := &List{Version: v, Format: JSON, Coding: Identity}
	want := written(t, r, list)
	written(t, r, &List{Version: v, Format: JSON, Coding: Identity})

	slow := slowClient{wake.NewSignal(), make(chan struct{})}
	ended := make(chan error)
	go func() { ended <- r.Write(slow, list) }()
	<-slow.began
	for range 2 {
		if got := written(t, r, list); !bytes.Equal(got, want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	}
	for _, leaf := range v.Leaves() {
		if !r.segments.has(newSegmentKey(list, leaf)) {
			t.Error("a slow client keeps text from being cached")
		}
	}
	close(slow.reads)
	if err := <-ended; err != nil {
		t.Error(err)
	}

	var made atomic.Int32
	var answers sync.WaitGroup
	began, ready := make(chan struct{}), make(chan struct{})
	c := newSegmentCache(1 << 30)
	get := func() {
		c.get(newSegmentKey(list, v.Leaves()[0]), func() *segment {
			if made.Add(1) == 1 {
				close(began)
			}
			<-ready
			return new(segment)
		})
	}
	answers.Go(get)
	<-began
	for range 7 {
		answers.Go(get)
	}
	close(ready)
	answers.Wait()
	if n := made.Load(); n != 1 {
		t.Errorf("a segment was made %d times at once", n)
	}
}

// Of a list whose text does not fit the cache, the beginning stays cached.
func TestBeginningOfLongListIsCached(t *testing.T) {
	l, _ := listingtest.Fleet(t, 1, 100_000, filestest.Same)
	v := l.Current()
	r := &Renderer{segments: newSegmentCache(8 << 20)}
	list := &List{Version: v, Format: JSON, Coding: Identity}
	cached := func() (all []*segment) {
		written(t, r, list)
		for _, leaf := range v.Leaves() {
			key := newSegmentKey(list, leaf)
			if !r.segments.has(key) {
				break
			}
			all = append(all, r.segments.get(key, nil))
		}
		return all
	}
	if n := len(cached()); n > 0 {
		t.Errorf("%d segments are cached that were asked for once", n)
	}
	first := cached()
	if again := cached(); len(first) == 0 || len(first) == len(v.Leaves()) || !slices.Equal(first, again) {
		t.Errorf("%d of %d segments are cached, later %d", len(first), len(v.Leaves()), len(again))
	}
	var size int64
	for _, s := range first {
		size += s.size
	}
	if size < r.segments.textBudget() || r.segments.used > r.segments.budget {
		t.Errorf("%d bytes of text are cached, %d are used, of a budget of %d", size, r.segments.used, r.segments.budget)
	}

	r = &Renderer{segments: newSegmentCache(6 << 20)}
	cached()
	if n := len(cached()); n > 0 {
		t.Errorf("%d segments are cached of a list that is far too long", n)
	}
}

// slowClient is a client that takes nothing until reads is closed.
type slowClient struct {
	began wake.Signal // it has been written to
	reads chan struct{}
}

func (s slowClient) Write(p []byte) (int, error) {
	s.began.Set()
	<-s.reads
	return len(p), nil
}

// An answer ends at the first error: nothing is rendered for a client that has left.
func TestClientHasLeft(t *testing.T) {
	l, _ := listingtest.Fleet(t, 1, 100_000, filestest.Same)
	for _, coding := range []Coding{Identity, Gzip, Zstd} {
		r := New()
		for range 3 { // not cached, then cached
			client := &leaver{}
			err := r.Write(client, &List{Version: l.Current(), Format: JSON, Coding: coding})
			if !errors.Is(err, errLeft) || client.writes != 1 {
				t.Errorf("%v: %v after %d writes", coding, err, client.writes)
			}
		}
		if n := len(r.segments.entries); n > 1 {
			t.Errorf("%v: %d segments were made for clients that had left", coding, n)
		}
	}
}

var errLeft = errors.New("left")

// leaver is a client that has left.
type leaver struct{ writes int }

func (c *leaver) Write([]byte) (int, error) {
	c.writes++
	return 0, errLeft
}

// A compressor that waits in the pool holds nothing of the answer before.
func TestCompressorsHoldNoConnection(t *testing.T) {
	for _, coding := range []Coding{Gzip, Zstd} {
		connection := new(bytes.Buffer)
		held := weak.Make(connection)
		if err := Compress(connection, coding, func(w io.Writer) error {
			_, err := io.WriteString(w, "text")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		runtime.GC() // a pool gives up what it has at the second one
		if held.Value() != nil {
			t.Errorf("%v: the connection is held", coding)
		}
	}
}

// The cache drops what was not used for longest, and only as much as it must.
func TestCacheEvictsTheLeastRecentlyUsed(t *testing.T) {
	l, _ := listingtest.Fleet(t, 1, 100_000, filestest.Same)
	leaves := l.Current().Leaves()
	if len(leaves) < 4 {
		t.Fatalf("%d leaves", len(leaves))
	}
	key := func(i int) segmentKey {
		return newSegmentKey(&List{Version: l.Current(), Format: JSON, Coding: Gzip}, leaves[i])
	}
	c := newSegmentCache(3 * (1000 + segmentOverhead))
	for i := range 3 {
		c.get(key(i), ofBytes(1000))
	}
	c.get(key(0), nil)
	c.get(key(3), ofBytes(1000))
	for i, want := range []bool{true, false, true, true} {
		if got := c.has(key(i)); got != want {
			t.Errorf("segment %d is cached: %t, want %t", i, got, want)
		}
	}
	c.get(key(1), ofBytes(1<<20))
	if c.used > c.budget || len(c.entries) != c.order.Len() {
		t.Errorf("%d bytes of %d, %d entries, %d in order", c.used, c.budget, len(c.entries), c.order.Len())
	}
}

func TestCacheBudget(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	if got := cacheBudget(); got != maxCache {
		t.Errorf("%d bytes without a memory limit, want %d", got, maxCache)
	}
	debug.SetMemoryLimit(128 << 20)
	if got := cacheBudget(); got != 16<<20 {
		t.Errorf("%d bytes with a memory limit of 128 MiB, want 16 MiB", got)
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

// counter is a writer that counts.
type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) { c.n += int64(len(p)); return len(p), nil }

func BenchmarkWrite(b *testing.B) {
	for _, test := range []struct {
		name   string
		scouts int
		shape  filestest.Shape
	}{{"10 apart", 10, filestest.Apart}, {"10 same", 10, filestest.Same}, {"1000 interleaved", 1000, filestest.Interleaved}} {
		l, _ := listingtest.Fleet(b, test.scouts, 1_000_000, test.shape)
		for _, c := range []Coding{Identity, Gzip, Zstd} {
			b.Run(test.name+" "+c.String(), func(b *testing.B) {
				v, r := l.Current(), New()
				var out counter
				for b.Loop() {
					out.n = 0
					if err := r.Write(&out, &List{Version: v, Format: JSON, Coding: c}); err != nil {
						b.Fatal(err)
					}
				}
				b.SetBytes(out.n)
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(v.Len), "ns/entry")
			})
		}
	}
}
