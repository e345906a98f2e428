package watch

import (
	"math/bits"
	"slices"
	"strings"
	"time"
)

// status is what the system says of one entry without reading it.
type status struct {
	dev, ino          uint64
	born              int64 // nanoseconds; 0 if the file system does not say
	modified, changed int64 // nanoseconds since 1970
	dir               bool
}

// identity is a digest of what stays the same as long as a directory exists.
// Systems use the number of a removed one again, but not with its time of birth.
func (s status) identity() uint64 { return mix(mix(mix(1, s.dev), s.ino), uint64(s.born)) }

func (s status) stamp() stamp {
	return stamp{id: s.identity(), times: mix(mix(2, uint64(s.modified)), uint64(s.changed))}
}

// isYoung reports whether a change at the time now could get the same stamp. Now
// is the time of the kernel, which gave the stamp: the clock of a file system
// ticks, in milliseconds here, in seconds there.
func (s status) isYoung(now int64) bool {
	tick := 20 * time.Millisecond
	if s.changed%1e9 == 0 {
		tick = 2 * time.Second
	}
	age := now - max(s.changed, s.modified)
	return age < int64(tick) && age > -int64(tick)
}

// mix adds v to the digest h.
func mix(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, v^0xd6e8feb86659fd93)
	return hi ^ lo ^ v
}

// stamp is the digest of a status: which directory it is, and its times.
type stamp struct{ id, times uint64 }

// trust is how much the stamp of a directory proves while it stays the same.
//
//	             | the poll lists it if  | a rescan lists it
//	trustNothing | always                | always
//	trustEvents  | it is not watched     | always
//	trustStamp   | the stamp has changed | if the stamp has changed
//
// A rescan is the poll after events may have been lost, or when somebody waits
// for an answer.
type trust uint8

const (
	// trustNothing: the directory could not be listed, or its file system does not
	// promise a new time for each change.
	trustNothing trust = iota
	// trustEvents: the stamp may hide a change of the same tick, or of those that
	// events told while single names were examined. Events tell the others.
	trustEvents
	// trustStamp: the directory has not changed.
	trustStamp
)

// directory is what is known of one directory. Its files are not here but in
// the Set, as the names that start with its path.
type directory struct {
	name   string       // of a tree's own directory the path, relative to the watched one
	parent *directory   // nil: the tree's own directory
	subs   []*directory // in the order of their names with a slash

	stamp   stamp // from before the entries were last examined
	entries uint32
	listed  uint32 // the step when it was last listed
	touched uint32 // the step when one of its files last changed
	polled  uint32 // of this directory and all below, those that cannot be watched, or are not yet

	trust    trust
	watched  bool // events tell what happens in it
	detached bool // it is not in the tree any more
}

// appendPath appends the path relative to the watched directory.
func (d *directory) appendPath(b []byte) []byte {
	if d.parent != nil {
		b = d.parent.appendPrefix(b)
	}
	return append(b, d.name...)
}

// appendPrefix appends what the names of all files in the directory start with.
func (d *directory) appendPrefix(b []byte) []byte {
	before := len(b)
	if b = d.appendPath(b); len(b) > before {
		b = append(b, '/')
	}
	return b
}

func (d *directory) path() string { return string(d.appendPath(nil)) }

// sub returns the known subdirectory of that name, or nil.
func (d *directory) sub(name string) *directory {
	if i, ok := d.search(name); ok {
		return d.subs[i]
	}
	return nil
}

func (d *directory) search(name string) (int, bool) {
	return slices.BinarySearchFunc(d.subs, name, func(s *directory, name string) int {
		return compareDirectories(s.name, name)
	})
}

func (d *directory) attach(sub *directory) {
	i, _ := d.search(sub.name)
	d.subs = slices.Insert(d.subs, i, sub)
}

func (d *directory) detach(sub *directory) {
	if i, ok := d.search(sub.name); ok && d.subs[i] == sub {
		d.subs = slices.Delete(d.subs, i, i+1)
	}
}

// find returns the known directory at the path relative to d, or nil.
func (d *directory) find(path string) *directory {
	for path != "" && d != nil {
		var name string
		name, path, _ = strings.Cut(path, "/")
		d = d.sub(name)
	}
	return d
}

// each calls do for the directory and all below it, parents first.
func (d *directory) each(do func(*directory)) {
	do(d)
	for _, s := range d.subs {
		s.each(do)
	}
}

// following returns the directory that comes after d in the order of each, or nil.
// If d has left the tree, it is the one that comes after its place.
func (d *directory) following() *directory {
	if !d.detached && len(d.subs) > 0 {
		return d.subs[0]
	}
	for ; d.parent != nil; d = d.parent {
		if d.parent.detached {
			continue
		}
		i, ok := d.parent.search(d.name)
		if ok { // d, or what is in its place and was listed just now
			i++
		}
		if i < len(d.parent.subs) {
			return d.parent.subs[i]
		}
	}
	return nil
}

// compareDirectories orders names as if each ended in a slash, which is how the
// names of the files below are ordered.
func compareDirectories(a, b string) int {
	n := min(len(a), len(b))
	if c := strings.Compare(a[:n], b[:n]); c != 0 || len(a) == len(b) {
		return c
	}
	if len(a) < len(b) {
		return int('/') - int(b[n])
	}
	return int(a[n]) - int('/')
}
