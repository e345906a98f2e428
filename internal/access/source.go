package access

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// lookInterval is how often files are looked at for changes.
const lookInterval = time.Second

// source is what was made of some files, and is made again when they change.
// What cannot be used is logged once, and the last that could stays in use.
type source[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *zap.Logger

	value atomic.Pointer[T]

	mu     sync.Mutex
	stamps []stamp // of the files that were read last, good or not
}

// open reads files for the first time. What parse makes of their contents must
// not be changed any more.
func open[T any](log *zap.Logger, parse func([][]byte) (T, error), paths ...string) (*source[T], error) {
	s := &source[T]{paths: paths, parse: parse, log: log, stamps: stampsOf(paths)}
	value, err := s.read()
	if err != nil {
		return nil, err
	}
	s.value.Store(&value)
	return s, nil
}

// get returns what the files say.
func (s *source[T]) get() T { return *s.value.Load() }

func (s *source[T]) read() (value T, err error) {
	contents := make([][]byte, len(s.paths))
	for i, path := range s.paths {
		if contents[i], err = os.ReadFile(path); err != nil {
			return value, fmt.Errorf("%w: name a file that this user may read", err)
		}
	}
	return s.parse(contents)
}

// refresh reads the files again if they have changed.
func (s *source[T]) refresh() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := stampsOf(s.paths); !slices.EqualFunc(now, s.stamps, stamp.equal) {
		s.reloadLocked(now)
	}
}

// reload reads the files again, whether they have changed or not.
func (s *source[T]) reload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reloadLocked(stampsOf(s.paths))
}

func (s *source[T]) reloadLocked(now []stamp) {
	s.stamps = now
	files := zap.String("files", strings.Join(s.paths, ", "))
	value, err := s.read()
	if err != nil {
		s.log.Error("credentials not reloaded", files, zap.NamedError("reason", err))
		return
	}
	s.value.Store(&value)
	s.log.Info("credentials reloaded", files)
}

// stamp tells one state of a file from another.
type stamp struct {
	info os.FileInfo // nil: there is none
}

func stampsOf(paths []string) []stamp {
	stamps := make([]stamp, len(paths))
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			stamps[i].info = info
		}
	}
	return stamps
}

func (s stamp) equal(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime()) && os.SameFile(s.info, t.info)
}

// refresher is a source of whatever.
type refresher interface {
	refresh()
	reload()
}

// keepFresh looks at the files again and again until ctx is done.
func keepFresh(ctx context.Context, sources []refresher) {
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, s := range sources {
				s.refresh()
			}
		}
	}
}

// warnOfReaders warns of a file with secrets that others than its owner and
// group can read.
func warnOfReaders(log *zap.Logger, path string) {
	if info, err := os.Stat(path); err == nil && readableByAll(info.Mode()) {
		log.Warn("secret readable by all", zap.String("file", path), zap.Stringer("mode", info.Mode()),
			zap.String("cure", "chmod o= on that file"))
	}
}
