package render

import (
	"io"
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
