package watch

import (
	"slices"
	"strings"
	"time"
)

// identity names one directory among all that there are and were: systems use
// the number of a removed one again, but not in the same moment.
type identity struct {
	dev, ino uint64
	born     int64 // nanoseconds; 0 when the file system does not say
}

// stamp is what a look at a directory shows without reading it. While it stays
// the same, so does what the directory holds.
type stamp struct {
	identity
	modified, changed int64 // nanoseconds since 1970
}

// young reports whether a stamp that was taken at now may hide a later change:
// clocks of file systems tick, in milliseconds here, in seconds there.
func young(s stamp, now time.Time) bool {
	tick := 20 * time.Millisecond
	if s.changed%1e9 == 0 && s.modified%1e9 == 0 {
		tick = 2 * time.Second
	}
	age := now.UnixNano() - max(s.changed, s.modified)
	return age < int64(tick) && age > -int64(tick)
}

// directory is what is known of one directory. Its files are not here but in
// the Set, as the names that start with its path.
type directory struct {
	name   string
	parent *directory   // nil: the watched directory itself
	subs   []*directory // in the order of their names with a slash

	stamp   stamp  // from before the entries were last looked at
	watch   uint32 // when its watch was set, counted in watches; 0: it has none
	entries uint32 // roughly
	listed  uint64 // the step when it was last listed
	touched uint64 // the step when one of its files last changed

	anchor   anchor // kept of it
	anchored uint32 // the parent's stirs when it was last seen at its path
	stirs    uint32 // how often its entries were looked at

	hinted   bool // its stamp may hide what no hint told: it came with one, or is young
	racy     bool // its stamp is too young to show the next change
	denied   bool // it cannot be read
	overlong bool // it holds names that are too long to be listed
	remote   bool // other machines can change it without notification
	detached bool // it is not in the tree any more
}

// appendPath appends the path relative to the watched directory.
func (d *directory) appendPath(b []byte) []byte {
	if d.parent == nil {
		return b
	}
	return append(d.parent.appendPrefix(b), d.name...)
}

// appendPrefix appends what the names of all files in the directory start with.
func (d *directory) appendPrefix(b []byte) []byte {
	if d.parent == nil {
		return b
	}
	return append(d.appendPath(b), '/')
}

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

// find returns the known directory at the path, or nil.
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
