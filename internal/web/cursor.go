package web

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"

	"github.com/cespare/xxhash/v2"

	"scout/internal/files"
)

// position is the place of an entry in the order of the list.
type position struct {
	name   []byte
	origin files.Origin
}

// compare returns a number below 0 if the position comes before an entry, 0 if it
// is that of the entry, and above 0 if it comes after.
func (p *position) compare(name []byte, o files.Origin) int {
	if c := bytes.Compare(p.name, name); c != 0 {
		return c
	}
	return p.origin.Compare(o)
}

// cursor is where a page of a list ended. The next page begins behind that
// position, whether there still is an entry or not: so all pages together are a
// walk in one order, which meets each entry that was there throughout exactly
// once.
type cursor struct {
	epoch, revision uint64 // of the page's Version
	query           uint64 // query.hash
	position
}

var cursorText = base64.RawURLEncoding.Strict()

// String returns the cursor as clients have it. No URL needs to escape it.
func (c *cursor) String() string {
	p := binary.BigEndian.AppendUint64(nil, c.epoch)
	p = binary.BigEndian.AppendUint64(p, c.query)
	for _, part := range []string{c.origin.Host, c.origin.Directory, string(c.name)} {
		p = binary.AppendUvarint(p, uint64(len(part)))
		p = append(p, part...)
	}
	if c.revision > 0 { // cursors of earlier versions have none
		p = binary.AppendUvarint(p, c.revision)
	}
	return cursorText.EncodeToString(appendSum(p))
}

var errNoCursor = errors.New("is not a cursor; take it as it is from next or the Link header of a page")

// parseCursor is the inverse of String.
func parseCursor(s string) (*cursor, error) {
	p, err := cursorText.DecodeString(s)
	if err != nil || len(p) < sumSize+16 {
		return nil, errNoCursor
	}
	rest, c := p[16:len(p)-sumSize], new(cursor)
	c.epoch, c.query = binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:])
	var parts [3]string
	for i := range parts {
		n, k := binary.Uvarint(rest)
		if k <= 0 || n > uint64(len(rest)-k) {
			return nil, errNoCursor
		}
		parts[i], rest = string(rest[k:k+int(n)]), rest[k+int(n):]
	}
	c.revision, _ = binary.Uvarint(rest)
	c.origin.Host, c.origin.Directory, c.name = parts[0], parts[1], []byte(parts[2])
	if c.String() != s {
		return nil, errNoCursor // it was cut or altered, or has more than a revision
	}
	return c, nil
}

const sumSize = 4

func appendSum(p []byte) []byte {
	return binary.BigEndian.AppendUint32(p, uint32(xxhash.Sum64(p)))
}
