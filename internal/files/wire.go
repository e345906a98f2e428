package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/cespare/xxhash/v2"
)

// MaxName is the maximum length of a name in bytes, as of a path on Linux.
const MaxName = 4096

// Parts yields the names front-coded for the wire, in parts of about limit bytes.
// [Builder.Append] decodes them in the same order. scout.proto documents the
// format. A part is valid until the next one.
func (s *Set) Parts(limit int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var part []byte
		for block := range s.index.Blocks() {
			if len(part) > 0 && len(part)+len(block) > limit {
				if !yield(part) {
					return
				}
				part = part[:0]
			}
			part = append(part, block...)
		}
		if len(part) > 0 {
			yield(part)
		}
	}
}

// Append adds the names of one part from the wire. They must sort after all names
// of the Builder. If the part breaks the format, or has a name that no file can
// have, Append returns an error that says which rule is broken; the names before
// it in the part were added.
func (b *Builder) Append(part []byte) error {
	var name []byte
	for len(part) > 0 {
		shared, rest, k, err := header(part)
		if err != nil {
			return err
		}
		if shared > len(name) {
			return fmt.Errorf("a name shares %d bytes with one of %d", shared, len(name))
		}
		part = part[k:]
		if shared+rest > MaxName {
			return errLong(shared + rest)
		}
		name = append(name[:shared], part[:rest]...)
		part = part[rest:]
		if last := b.index.Last(); b.Len() > 0 && bytes.Compare(name[shared:], last[shared:]) <= 0 {
			return fmt.Errorf("name %.80q does not sort after %.80q", name, last)
		}
		if err := checkName(name, shared); err != nil {
			return err
		}
		b.add(name, shared)
	}
	return nil
}

// plain reports whether text has no slash and no NUL.
func plain(text []byte) bool {
	const ones, high, slashes = 0x0101010101010101, 0x8080808080808080, '/' * 0x0101010101010101
	for ; len(text) >= 8; text = text[8:] {
		x := binary.LittleEndian.Uint64(text)
		y := x ^ slashes
		if ((x-ones)&^x|(y-ones)&^y)&high != 0 { // a byte of x or y is 0
			return false
		}
	}
	for _, c := range text {
		if c == '/' || c == 0 {
			return false
		}
	}
	return true
}

// Totals are the number of some names, the sum of their lengths, and their digest, see
// [Set.Digest].
type Totals struct{ Names, Bytes, Digest uint64 }

// Add adds a name, unless no file can have it: then it returns an error that says why.
// The first shared bytes are those of a name that was added to some Totals.
func (t *Totals) Add(name []byte, shared int) error {
	if len(name) > MaxName {
		return errLong(len(name))
	}
	if err := checkName(name, shared); err != nil {
		return err
	}
	t.Names++
	t.Bytes += uint64(len(name))
	t.Digest += xxhash.Sum64(name)
	return nil
}

// Sum adds other totals.
func (t *Totals) Sum(other Totals) {
	t.Names += other.Names
	t.Bytes += other.Bytes
	t.Digest += other.Digest
}

var errCut = errors.New("a front-coded list is cut short")

// header decodes the two lengths at the start of an entry, which take k bytes, and
// checks that part has as many bytes as they say.
func header(part []byte) (shared, rest, k int, err error) {
	s, i := binary.Uvarint(part)
	if i <= 0 || s > MaxName {
		return 0, 0, 0, errCut
	}
	r, j := binary.Uvarint(part[i:])
	if j <= 0 || r > uint64(len(part)-i-j) {
		return 0, 0, 0, errCut
	}
	return int(s), int(r), i + j, nil
}

func errLong(n int) error {
	return fmt.Errorf("a name is %d bytes long, at most %d are allowed", n, MaxName)
}

// checkName checks a name whose first shared bytes are those of a valid name.
func checkName(name []byte, shared int) error {
	if n := len(name); n > 3 && name[n-1] != '/' && name[n-2] != '/' && name[n-3] != '/' && plain(name[shared:]) {
		return nil // only the last part is new, and it has at least three bytes
	}
	if bytes.IndexByte(name[shared:], 0) >= 0 {
		return fmt.Errorf("name %.80q contains a NUL", name)
	}
	start := 1 + bytes.LastIndexByte(name[:shared], '/')
	for rest := name[start:]; ; {
		part, more, found := bytes.Cut(rest, []byte("/"))
		switch string(part) {
		case "":
			return fmt.Errorf("name %.80q has an empty part", name)
		case ".", "..":
			return fmt.Errorf("name %.80q has the part %q", name, part)
		}
		if !found {
			return nil
		}
		rest = more
	}
}
