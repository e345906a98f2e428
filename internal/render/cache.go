package render

import (
	"container/list"
	"runtime/debug"
	"sync"
	"weak"

	"scout/internal/index"
)

const (
	// The cache may use 1/cacheShare of the memory limit, and at most maxCache
	// bytes: the JSON of a million files, or of fifteen million compressed.
	cacheShare = 8
	maxCache   = 94 << 20
	// plainEntry is about what an entry takes that is not compressed.
	plainEntry = 80
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

type cachedSegment struct {
	key     segmentKey
	segment *segment // nil: it was asked for, and is not cached yet
}

func (c *cachedSegment) cost() int64 {
	if c.segment == nil {
		return segmentOverhead
	}
	return int64(len(c.segment.data)) + segmentOverhead
}

func newSegmentCache(budget int64) *segmentCache {
	return &segmentCache{budget: budget, entries: map[segmentKey]*list.Element{}}
}

// cacheBudget returns how many bytes the process may cache.
func cacheBudget() int64 { return min(maxCache, debug.SetMemoryLimit(-1)/cacheShare) }

// fits reports whether the text of a whole list fits the cache. To cache a part of
// a longer list would save little: each answer evicts what the next one needs.
func (c *segmentCache) fits(l *List) bool { return int64(l.Version.Len)*plainEntry <= c.budget }

// get returns a segment, or nil if it is not cached.
func (c *segmentCache) get(key segmentKey) *segment {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedSegment).segment
}

// asked reports whether a segment was asked for before, and remembers that it was.
func (c *segmentCache) asked(key segmentKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entries[key] != nil {
		return true
	}
	c.add(key, nil)
	return false
}

// put caches a segment.
func (c *segmentCache) put(key segmentKey, s *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.drop(e)
	}
	c.add(key, s)
}

// add adds a segment, and drops those that were not used for longest until all fit
// the budget.
func (c *segmentCache) add(key segmentKey, s *segment) {
	added := &cachedSegment{key, s}
	c.entries[key] = c.order.PushFront(added)
	c.used += added.cost()
	for e := c.order.Back(); e != nil && (c.used > c.budget || isGone(e)); e = c.order.Back() {
		c.drop(e)
	}
}

// isGone reports whether the leaf of a cached segment was collected.
func isGone(e *list.Element) bool { return e.Value.(*cachedSegment).key.leaf.Value() == nil }

func (c *segmentCache) drop(e *list.Element) {
	gone := c.order.Remove(e).(*cachedSegment)
	delete(c.entries, gone.key)
	c.used -= gone.cost()
}
