package web

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"

	"scout/internal/index"
	"scout/internal/listing"
)

// The list is compressed leaf by leaf of the merged index. An answer is stitched
// together from these stretches, and their check sums are combined.
const gzipLevel = flate.BestSpeed

// acceptsGzip reports whether the client would rather have gzip than nothing.
func acceptsGzip(h http.Header) bool {
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, weight, weighed := strings.Cut(coding, ";")
		if name = strings.ToLower(strings.TrimSpace(name)); name != "gzip" && name != "x-gzip" {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(weight)), "q="), 64)
		return !weighed || err == nil && q > 0
	}
	return false
}

// writeGzip is writeJSON, compressed.
func (r *renderer) writeGzip(out io.Writer, v *listing.Version, q *query) error {
	if !isAll(v, q) {
		z, err := gzip.NewWriterLevel(out, gzipLevel)
		if err != nil {
			return err
		}
		if err := r.writeJSON(z, v, q); err != nil {
			return err
		}
		return z.Close()
	}
	s := stitcher{out: out}
	s.plain(gzipHeader)
	s.add(deflateText(jsonHead))
	some := false
	for _, leaf := range v.Leaves() {
		d, err := deflatedOf(v, leaf)
		if err != nil {
			return err
		}
		if d.size == 0 {
			continue
		}
		if some {
			s.add(deflateText(","))
		}
		some = true
		s.add(d)
	}
	s.add(deflateText(jsonEnd(some)))
	return s.finish()
}

// deflated is a stretch of text as deflate has it, ending on a byte's border
// and referring to nothing before it.
type deflated struct {
	data []byte
	crc  uint32 // of the text
	size int64  // of the text
}

// deflatedOf returns the entries of a leaf of v.
func deflatedOf(v *listing.Version, l *index.Leaf) (*deflated, error) {
	k := keptOf(v, l)
	if d := k.deflated.Load(); d != nil {
		return d, nil
	}
	d, err := deflate(func(out io.Writer) error {
		_, err := writeLeaf(out, v, l)
		return err
	})
	if err == nil {
		k.deflated.Store(d)
	}
	return d, err
}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, gzipLevel)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return w
}}

// deflate compresses what write writes.
func deflate(write func(io.Writer) error) (*deflated, error) {
	var buf bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&buf)
	d := new(deflated)
	if err := write(io.MultiWriter(d, w)); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	d.data = bytes.Clone(buf.Bytes())
	return d, nil
}

// Write counts and sums up text.
func (d *deflated) Write(p []byte) (int, error) {
	d.crc = crc32.Update(d.crc, crc32.IEEETable, p)
	d.size += int64(len(p))
	return len(p), nil
}

// deflateText makes a stretch of a short text, which it stores as it is.
func deflateText(text string) *deflated {
	n := uint16(len(text))
	data := binary.LittleEndian.AppendUint16([]byte{0}, n) // a stored block, not the last
	data = binary.LittleEndian.AppendUint16(data, ^n)
	return &deflated{data: append(data, text...), crc: crc32.ChecksumIEEE([]byte(text)), size: int64(n)}
}

// gzipHeader is that of a stream without a name or a time, from any system
// (RFC 1952).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// stitcher writes one gzip stream made of stretches.
type stitcher struct {
	out  io.Writer
	err  error
	crc  uint32
	size int64
}

func (s *stitcher) plain(p []byte) {
	if s.err == nil {
		_, s.err = s.out.Write(p)
	}
}

func (s *stitcher) add(d *deflated) {
	s.plain(d.data)
	s.crc = combineCRC(s.crc, d.crc, d.size)
	s.size += d.size
}

// finish writes the last block, which is empty, and the check sum.
func (s *stitcher) finish() error {
	end := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0xff, 0xff}, s.crc)
	s.plain(binary.LittleEndian.AppendUint32(end, uint32(s.size)))
	return s.err
}
