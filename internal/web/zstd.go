package web

import (
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

var zstdWriters = sync.Pool{New: func() any { return newZstdWriter() }}

// newZstdWriter returns a writer that has no goroutines, and needs less than a
// megabyte for a client that takes its time. Names are like those shortly before
// them: a larger window would find nothing more.
func newZstdWriter() *zstd.Encoder {
	w, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(256<<10))
	if err != nil {
		panic(err) // the options are valid ones
	}
	return w
}

// packZstd compresses a text to a stretch, which is a frame: a stream may
// consist of many (RFC 8878).
func packZstd(text []byte) *stretch {
	w := zstdWriters.Get().(*zstd.Encoder)
	defer zstdWriters.Put(w)
	return &stretch{data: w.EncodeAll(text, nil), size: int64(len(text))}
}

// zstdStitcher writes one stream made of frames.
type zstdStitcher struct {
	out io.Writer
	err error
}

func (s *zstdStitcher) add(st *stretch) {
	if s.err == nil {
		_, s.err = s.out.Write(st.data)
	}
}

func (s *zstdStitcher) text(text string) {
	if text != "" {
		s.add(packZstd([]byte(text)))
	}
}

func (s *zstdStitcher) finish() error { return s.err }
