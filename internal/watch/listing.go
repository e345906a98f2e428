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
	longest int      // name
	unknown []string // names of which the file system does not say what they are; not among the entries
}

// entry is one name in a listing.
type entry struct {
	head uint64 // eight bytes that nearly every comparison ends with: see sort
	at   int
	size uint16
	sub  bool
}

func (l *listing) reset() {
	*l = listing{names: l.names[:0], entries: l.entries[:0], unknown: l.unknown[:0]}
}

// add appends a name, which has no slash.
func (l *listing) add(name []byte, sub bool) {
	at := len(l.names)
	l.names = append(l.names, name...)
	if sub {
		l.names = append(l.names, '/')
	}
	size := len(l.names) - at
	l.longest = max(l.longest, len(name))
	l.entries = append(l.entries, entry{at: at, size: uint16(size), sub: sub})
}

func (l *listing) name(e entry) []byte { return l.names[e.at : e.at+int(e.size)] }

// keep drops the entries that are not ok.
func (l *listing) keep(ok func(entry) bool) {
	l.entries = slices.DeleteFunc(l.entries, func(e entry) bool { return !ok(e) })
}

// sort orders the entries bytewise and drops repetitions, which some systems
// produce when a directory changes while it is read.
//
// Most entries of a directory begin alike, so what follows their common
// beginning is compared first, eight bytes at once.
func (l *listing) sort() {
	n := l.common()
	for i := range l.entries {
		e := &l.entries[i]
		e.head = head(l.name(*e)[n:])
	}
	if !slices.IsSortedFunc(l.entries, l.compare) {
		slices.SortFunc(l.entries, l.compare)
	}
	l.entries = slices.CompactFunc(l.entries, func(a, b entry) bool { return l.compare(a, b) == 0 })
}

// common returns how many bytes all names have in common at their beginning.
func (l *listing) common() int {
	if len(l.entries) == 0 {
		return 0
	}
	first := l.name(l.entries[0])
	n := len(first)
	for _, e := range l.entries {
		name := l.name(e)
		n = min(n, len(name))
		for !bytes.Equal(name[:n], first[:n]) {
			n--
		}
	}
	return n
}

func head(name []byte) uint64 {
	if len(name) >= 8 {
		return binary.BigEndian.Uint64(name)
	}
	var b [8]byte
	copy(b[:], name)
	return binary.BigEndian.Uint64(b[:])
}

func (l *listing) compare(a, b entry) int {
	if a.head != b.head {
		return cmp.Compare(a.head, b.head)
	}
	return bytes.Compare(l.name(a), l.name(b))
}
