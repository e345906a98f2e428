package web

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

const gzipLevel = flate.BestSpeed

var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzipLevel)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return w
}}

var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(nil, gzipLevel)
	if err != nil {
		panic(err) // the level is a valid one
	}
	return w
}}

// deflate compresses a text to a stretch, which ends on a byte's border and
// refers to nothing before it.
func deflate(text []byte) (*stretch, error) {
	var buf bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&buf)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Flush(); err != nil {
		return nil, err
	}
	return &stretch{data: bytes.Clone(buf.Bytes()), crc: crc32.ChecksumIEEE(text), size: int64(len(text))}, nil
}

// stored makes a stretch of a short text, which it leaves as it is.
func stored(text string) *stretch {
	n := uint16(len(text))
	data := binary.LittleEndian.AppendUint16([]byte{0}, n) // a stored block, not the last
	data = binary.LittleEndian.AppendUint16(data, ^n)
	return &stretch{data: append(data, text...), crc: crc32.ChecksumIEEE([]byte(text)), size: int64(n)}
}

// gzipHeader is that of a stream without a name or a time, from any system
// (RFC 1952).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// gzipStitcher writes one gzip stream made of stretches, whose check sums it
// combines.
type gzipStitcher struct {
	out  io.Writer
	err  error
	crc  uint32
	size int64
}

func newGzipStitcher(out io.Writer) *gzipStitcher {
	s := &gzipStitcher{out: out}
	s.plain(gzipHeader)
	return s
}

func (s *gzipStitcher) plain(p []byte) {
	if s.err == nil {
		_, s.err = s.out.Write(p)
	}
}

func (s *gzipStitcher) text(text string) {
	for len(text) > 0 {
		n := min(len(text), math.MaxUint16) // the most that a stored block holds
		s.add(stored(text[:n]))
		text = text[n:]
	}
}

func (s *gzipStitcher) add(st *stretch) {
	s.plain(st.data)
	s.crc = combineCRC(s.crc, st.crc, st.size)
	s.size += st.size
}

// finish writes the last block, which is empty, and the check sum.
func (s *gzipStitcher) finish() error {
	end := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0xff, 0xff}, s.crc)
	s.plain(binary.LittleEndian.AppendUint32(end, uint32(s.size)))
	return s.err
}
