package files

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
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
			return fmt.Errorf("a name is %d bytes long, at most %d are allowed", shared+rest, MaxName)
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

// checkName checks a name whose first shared bytes are those of a valid name.
func checkName(name []byte, shared int) error {
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
