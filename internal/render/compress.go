package render

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// gzipLevel is the fastest: names compress well at any level.
const gzipLevel = flate.BestSpeed

var gzipWriters = sync.Pool{New: func() any { return must(gzip.NewWriterLevel(nil, gzipLevel)) }}

// zstdWriters have no goroutines, and each needs less than a megabyte while a
// slow client reads. Names resemble those shortly before them: a larger window
// finds nothing more.
var zstdWriters = sync.Pool{New: func() any {
	return must(zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(256<<10)))
}}

// must returns w. The error is for options that are not valid, which constants
// are.
func must[W any](w W, err error) W {
	if err != nil {
		panic(err)
	}
	return w
}

// compressor is a writer that compresses what is written to another writer.
type compressor interface {
	io.WriteCloser
	Reset(out io.Writer)
}

// Compress calls write with a writer that compresses to out.
func Compress(out io.Writer, c Coding, write func(io.Writer) error) error {
	switch c {
	case Gzip:
		return through(out, &gzipWriters, write)
	case Zstd:
		return through(out, &zstdWriters, write)
	}
	return write(out)
}

func through(out io.Writer, compressors *sync.Pool, write func(io.Writer) error) error {
	z := compressors.Get().(compressor)
	defer compressors.Put(z)
	defer z.Reset(nil) // the pool must not hold a connection
	z.Reset(out)
	if err := write(z); err != nil {
		return err
	}
	return z.Close()
}

// segment is a text in some coding that can stand between others in one stream.
type segment struct {
	data []byte
	size int64  // of the text
	crc  uint32 // of the text, for gzip
}

// newSegment encodes a text, which it does not keep.
func newSegment(text []byte, c Coding) *segment {
	switch {
	case len(text) == 0:
		return new(segment)
	case c == Identity:
		return &segment{data: bytes.Clone(text), size: int64(len(text))}
	case c == Gzip:
		return deflate(text)
	}
	return zstdFrame(text)
}

// segmentWriter writes segments of one coding as one stream. Nothing may be called
// after an error.
type segmentWriter interface {
	// text writes a short text, which is not compressed.
	text(s string) error
	add(s *segment) error
	// finish ends the stream.
	finish() error
}

func newSegmentWriter(out io.Writer, c Coding) segmentWriter {
	switch c {
	case Identity:
		return &plainSegments{out: out}
	case Gzip:
		return &gzipSegments{out: out}
	}
	return &zstdSegments{plainSegments{out: out}}
}

var deflaters = sync.Pool{New: func() any { return must(flate.NewWriter(nil, gzipLevel)) }}

// deflate returns a segment that ends at a byte boundary and refers to nothing
// before it.
func deflate(text []byte) *segment {
	var buf bytes.Buffer
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset(&buf)
	must(w.Write(text)) // a buffer takes everything
	must(w, w.Flush())
	return &segment{data: bytes.Clone(buf.Bytes()), crc: crc32.ChecksumIEEE(text), size: int64(len(text))}
}

// stored returns a segment of a short text that is not compressed.
func stored(text string) *segment {
	n := uint16(len(text))
	data := binary.LittleEndian.AppendUint16([]byte{0}, n) // a stored block, not the last
	data = binary.LittleEndian.AppendUint16(data, ^n)
	return &segment{data: append(data, text...), crc: crc32.ChecksumIEEE([]byte(text)), size: int64(n)}
}

// gzipHeader has no name, no time and an unknown system (RFC 1952).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}

// gzipSegments writes one gzip stream. It combines the checksums of the segments.
type gzipSegments struct {
	out   io.Writer
	begun bool // the header was written
	crc   uint32
	size  int64
}

// write writes to the stream, behind its header.
func (s *gzipSegments) write(p []byte) error {
	if !s.begun {
		s.begun = true
		if _, err := s.out.Write(gzipHeader); err != nil {
			return err
		}
	}
	_, err := s.out.Write(p)
	return err
}

func (s *gzipSegments) text(text string) error {
	for len(text) > 0 {
		n := min(len(text), math.MaxUint16) // the most that a stored block holds
		if err := s.add(stored(text[:n])); err != nil {
			return err
		}
		text = text[n:]
	}
	return nil
}

func (s *gzipSegments) add(next *segment) error {
	s.crc = combineCRC(s.crc, next.crc, next.size)
	s.size += next.size
	return s.write(next.data)
}

// finish writes the last block, which is empty, and the checksum.
func (s *gzipSegments) finish() error {
	end := binary.LittleEndian.AppendUint32([]byte{1, 0, 0, 0xff, 0xff}, s.crc)
	return s.write(binary.LittleEndian.AppendUint32(end, uint32(s.size)))
}

// combineCRC returns the CRC-32 of a text followed by one of size bytes, given
// the CRC of each. A CRC is a remainder of polynomials over GF(2): to append n
// zero bytes to the first text multiplies its remainder by x^(8n), which takes as
// many squarings as n has bits; then the remainders are added. The conditioning
// of the CRC with all ones cancels out.
func combineCRC(first, second uint32, size int64) uint32 {
	power := uint32(1) << 23 // x^8: the highest bit is x^0
	for n := size; n > 0; n >>= 1 {
		if n&1 != 0 {
			first = multiplyCRC(first, power)
		}
		power = multiplyCRC(power, power)
	}
	return first ^ second
}

// multiplyCRC multiplies two polynomials modulo that of CRC-32.
func multiplyCRC(a, b uint32) (product uint32) {
	for bit := uint32(1) << 31; bit != 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		carry := b & 1
		b >>= 1
		if carry != 0 {
			b ^= crc32.IEEE
		}
	}
	return product
}

// zstdFrame returns a segment that is a frame: a stream may consist of many
// (RFC 8878).
func zstdFrame(text []byte) *segment {
	w := zstdWriters.Get().(*zstd.Encoder)
	defer zstdWriters.Put(w)
	return &segment{data: w.EncodeAll(text, nil), size: int64(len(text))}
}

// plainSegments writes segments behind each other.
type plainSegments struct{ out io.Writer }

func (s *plainSegments) add(next *segment) error {
	_, err := s.out.Write(next.data)
	return err
}

func (s *plainSegments) text(text string) error { return s.add(&segment{data: []byte(text)}) }

func (s *plainSegments) finish() error { return nil }

// zstdSegments writes one zstd stream.
type zstdSegments struct{ plainSegments }

func (s *zstdSegments) text(text string) error {
	if text == "" {
		return nil
	}
	return s.add(zstdFrame([]byte(text)))
}
