package watch

import (
	"sync"
	"time"

	"scout/internal/files"
)

// reading is what reading one directory has shown.
type reading struct {
	listing  *listing // sorted; to be given back with release
	stamp    stamp    // from before it was listed
	watch    uint32   // the number of the watch that was set before; 0: none
	young    bool     // the stamp may hide a later change
	remote   bool
	overlong bool  // names are missing because they are too long
	err      error // why nothing was listed
}

// swaps is how often a directory may be exchanged for another while it is being
// watched before it is polled instead.
const swaps = 8

var (
	listings = sync.Pool{New: func() any { return new(listing) }}
	buffers  = sync.Pool{New: func() any { return new(dirents) }}
)

func (r *reading) release() {
	r.listing.reset()
	listings.Put(r.listing)
	r.listing = nil
}

// read watches the directory at path, if asked to, and lists it. It uses
// nothing of the tree that changes, so that several goroutines may read.
func (t *tree) read(path string, watch bool) *reading {
	r := &reading{listing: listings.Get().(*listing)}
	f, err := t.openWatched(path, watch, r)
	if err != nil {
		r.err = err
		r.stamp, _, _ = t.disk.stat(padded(path)) // what cannot be read can mostly be looked at
		return r
	}
	defer f.close()
	buf := buffers.Get().(*dirents)
	defer buffers.Put(buf)
	r.remote = f.remote()
	if r.err = f.list(r.listing, buf); r.err != nil {
		r.listing.reset()
		return r
	}
	t.filter(path, r)
	r.listing.sort()
	return r
}

// openWatched opens the directory at path and watches it. The watch goes by the
// path, so it must lead to the same directory before and after.
func (t *tree) openWatched(path string, watch bool, r *reading) (opened, error) {
	for range swaps {
		f, err := t.disk.open(path)
		if err != nil {
			return f, err
		}
		if watch {
			r.watch = t.setWatch(path)
		}
		now := time.Now()
		if r.stamp, err = f.stat(); err != nil {
			f.close()
			return f, err
		}
		r.young = young(r.stamp, now)
		if r.watch == 0 || t.leadsTo(path, r.stamp.identity) {
			return f, nil
		}
		f.close()
		r.watch = 0
	}
	return t.openWatched(path, false, r)
}

func (t *tree) leadsTo(path string, id identity) bool {
	s, _, err := t.disk.stat(padded(path))
	return err == nil && s.identity == id
}

// padded returns path with the room behind its end that stat asks for.
func padded(path string) []byte { return append(make([]byte, 0, len(path)+1), path...) }

// filter drops the entries that are not to be listed.
func (t *tree) filter(path string, r *reading) {
	prefix := path
	if path != "" {
		prefix += "/"
	}
	if t.recursive && len(t.excludes) == 0 && len(prefix)+256 < files.MaxName {
		return
	}
	r.listing.keep(func(e entry) bool {
		name := string(r.listing.name(e))
		if e.sub {
			name = name[:len(name)-1]
		}
		switch {
		case e.sub && !t.recursive, t.excludes.match(prefix + name):
			return false
		case tooLong(len(prefix)+len(name), e.sub):
			r.overlong = true
			return false
		}
		return true
	})
}

// tooLong reports whether a path of that length cannot be listed, or if it is a
// directory's, nothing in it can.
func tooLong(length int, sub bool) bool {
	if sub {
		length += len("/x")
	}
	return length > files.MaxName
}
