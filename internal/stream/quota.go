package stream

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/codes"
)

// Limits bounds the data that the master holds for scouts. A scout that would exceed a
// limit is refused with RESOURCE_EXHAUSTED and the name of the limit. 0 means no
// limit.
type Limits struct {
	Scouts            uint64 // registered
	FilesPerScout     uint64
	Files             uint64 // of all scouts
	NameBytesPerScout uint64 // in the names of its files
	NameBytes         uint64 // of all scouts
}

// load is an amount of names.
type load struct{ files, bytes uint64 }

func (l load) plus(m load) load  { return load{l.files + m.files, l.bytes + m.bytes} }
func (l load) minus(m load) load { return load{l.files - m.files, l.bytes - m.bytes} }

// quota counts the data of all scouts and enforces the limits. Any goroutine may use
// it.
type quota struct {
	limits Limits

	mu     sync.Mutex
	scouts uint64
	held   load
}

// enter counts a scout, or returns an error if there are too many.
func (q *quota) enter() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := within(q.scouts+1, q.limits.Scouts, "scouts", "-max-scouts"); err != nil {
		return err
	}
	q.scouts++
	return nil
}

func (q *quota) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.scouts--
}

// take counts names, or returns an error if there would be too many names of all
// scouts.
func (q *quota) take(l load) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	held := q.held.plus(l)
	if err := within(held.files, q.limits.Files, "files of all scouts", "-max-files"); err != nil {
		return err
	}
	if err := within(held.bytes, q.limits.NameBytes, "bytes in the names of all scouts", "-max-name-bytes"); err != nil {
		return err
	}
	q.held = held
	return nil
}

func (q *quota) give(l load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = q.held.minus(l)
}

// ofOne returns an error if l exceeds the limits of one scout.
func (q *quota) ofOne(l load) error {
	if err := within(l.files, q.limits.FilesPerScout, "files of one scout", "-max-files-per-scout"); err != nil {
		return err
	}
	return within(l.bytes, q.limits.NameBytesPerScout, "bytes in the names of one scout", "-max-name-bytes-per-scout")
}

// within returns an error if n exceeds the limit of a flag.
func within(n, limit uint64, what, flag string) error {
	if limit == 0 || n <= limit {
		return nil
	}
	return &ending{LeftExceeded, codes.ResourceExhausted, fmt.Sprintf("the scoutmaster takes at most %d %s: raise its %s", limit, what, flag)}
}
