package watch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"
)

// listing is what a directory holds. A directory's name ends in a slash here,
// so that sorting the entries of each directory sorts all names.
type listing struct {
	names   []byte
	entries []entry
}

// entry is one name in a listing.
type entry struct {
	head uint64 // the first eight bytes: nearly every comparison ends with them
	at   int
	size uint16
	sub  bool
}

func (l *listing) reset() { l.names, l.entries = l.names[:0], l.entries[:0] }

// add appends a name, which has no slash.
func (l *listing) add(name []byte, sub bool) {
	at := len(l.names)
	l.names = append(l.names, name...)
	if sub {
		l.names = append(l.names, '/')
	}
	size := len(l.names) - at
	l.entries = append(l.entries, entry{head(l.names[at:]), at, uint16(size), sub})
}

func head(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var b [8]byte
	copy(b[:], name)
	return binary.BigEndian.Uint64(b[:])
}

func (l *listing) name(e entry) []byte { return l.names[e.at : e.at+int(e.size)] }

// keep drops the entries that are not ok.
func (l *listing) keep(ok func(entry) bool) {
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return !ok(e) })
}

// sort orders the entries bytewise and drops repetitions, which some systems
// produce when a directory changes while it is read.
func (l *listing) sort() {
	if !slices.IsSortedFunc(l.entries, l.compare) {
		slices.SortFunc(l.entries, l.compare)
	}
	l.entries = slices.CompactFunc(l.entries, func(a, b entry) bool { return l.compare(a, b) == 0 })
}

func (l *listing) compare(a, b entry) int {
	if a.head != b.head {
		return cmp.Compare(a.head, b.head)
	}
	return bytes.Compare(l.name(a), l.name(b))
}
