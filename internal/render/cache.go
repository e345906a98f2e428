package render

import (
	"container/list"
	"runtime"
	"runtime/debug"
	"sync"
	"weak"

	"scout/internal/index"
)

const (
	// The cache may use 1/cacheShare of the memory limit, and at most maxCache
	// bytes: the JSON of most of a million files, or of fifteen million compressed.
	cacheShare = 8
	maxCache   = 90 << 20
	// plainEntry is about what an entry takes that is not compressed.
	plainEntry = 100
	// leafText is about the most that a leaf takes that is not compressed.
	leafText = 2 << 20
	// segmentOverhead is about what a cached segment takes beside its data.
	segmentOverhead = 256
)

// segmentKey names what a segment was made of. The pointer is weak, so that the
// cache does not keep leaves that no list has any more.
type segmentKey struct {
	leaf   weak.Pointer[index.Leaf]
	masked uint64 // listing.Version.Masked, which decides what of a leaf is shown
	format Format
	coding Coding
}

func newSegmentKey(l *List, leaf *index.Leaf) segmentKey {
	return segmentKey{weak.Make(leaf), l.Version.Masked(), l.Format, l.Coding}
}

// segmentCache keeps the segments that were used last, within a budget of bytes.
// Any goroutine may use it.
type segmentCache struct {
	budget int64

	mu      sync.Mutex
	used    int64
	order   list.List // of *cachedSegment, the one that was used last in front
	entries map[segmentKey]*list.Element
}

// cachedSegment is a segment that is cached, is being made, or was only asked for.
type cachedSegment struct {
	key  segmentKey
	gone runtime.Cleanup // drops it when no list has the leaf any more
	wait func() *segment // returns the segment once it is made; nil: it was only asked for
	size int64           // bytes of data; 0 until the segment is made
}

func (c *cachedSegment) cost() int64 { return c.size + segmentOverhead }

func newSegmentCache(budget int64) *segmentCache {
	return &segmentCache{budget: budget, entries: map[segmentKey]*list.Element{}}
}

// cacheBudget returns how many bytes the process may cache.
func cacheBudget() int64 { return min(maxCache, debug.SetMemoryLimit(-1)/cacheShare) }

// textBudget is up to which byte of a list its text is cached that is not compressed.
// There must be room for the leaf that goes beyond, and for other codings.
func (c *segmentCache) textBudget() int64 { return c.budget/16*15 - leafText }

// holdsHalf reports whether at least half of a list's text can be cached. Less would
// save little for the memory.
func (c *segmentCache) holdsHalf(l *List) bool {
	return int64(l.Version.Len)*plainEntry <= 2*c.textBudget()
}

// get returns the segment of a key. If it is not cached, one caller makes it with
// create, and those that ask for it meanwhile wait.
func (c *segmentCache) get(key segmentKey, create func() *segment) *segment {
	return c.find(key, create)()
}

// find returns a function that returns the segment of a key, made with create if
// need be.
func (c *segmentCache) find(key segmentKey, create func() *segment) func() *segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		e = c.add(key)
	}
	c.order.MoveToFront(e)
	cached := e.Value.(*cachedSegment)
	if cached.wait == nil {
		cached.wait = sync.OnceValue(func() *segment {
			s := create()
			c.made(cached, s)
			return s
		})
	}
	return cached.wait
}

// made counts the data of a segment, unless its entry was dropped meanwhile.
func (c *segmentCache) made(cached *cachedSegment, s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[cached.key]; e != nil && e.Value == cached {
		cached.size = int64(len(s.data))
		c.used += cached.size
		c.shrink()
	}
}

// asked reports whether a segment was asked for before, and remembers that it was.
func (c *segmentCache) asked(key segmentKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] != nil {
		return true
	}
	c.add(key)
	return false
}

// add adds an entry without a segment.
func (c *segmentCache) add(key segmentKey) *list.Element {
	e := c.order.PushFront(&cachedSegment{key: key, gone: runtime.AddCleanup(key.leaf.Value(), c.forget, key)})
	c.entries[key] = e
	c.used += segmentOverhead
	c.shrink()
	return e
}

// forget drops the entry of a leaf that was collected.
func (c *segmentCache) forget(key segmentKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.drop(e)
	}
}

// shrink drops the entries that were not used for longest until the others fit the
// budget.
func (c *segmentCache) shrink() {
	for e := c.order.Back(); e != nil && c.used > c.budget; e = c.order.Back() {
		c.drop(e)
	}
}

func (c *segmentCache) drop(e *list.Element) {
	dropped := c.order.Remove(e).(*cachedSegment)
	dropped.gone.Stop()
	delete(c.entries, dropped.key)
	c.used -= dropped.cost()
}
