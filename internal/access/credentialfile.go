package access

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// checkInterval is how often files are checked for changes.
const checkInterval = time.Second

// credentialFile is a value that is parsed from one or more files, and parsed
// again when they change. An invalid version is logged once; the last valid one
// stays in use. A version that cannot be read is tried again until it can be, so
// that a credential that was withdrawn does not stay valid.
type credentialFile[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *zap.Logger

	value atomic.Pointer[T]

	mu     sync.Mutex
	stamps []stamp // of the files that were read last, valid or not
	failed string  // the error of the last reading; "" if there was none
	unread bool    // the files could not be read, whatever is in them
}

// openFile reads the files for the first time. The value that parse returns must
// not change any more.
func openFile[T any](log *zap.Logger, parse func([][]byte) (T, error), paths ...string) (*credentialFile[T], error) {
	f := &credentialFile[T]{paths: paths, parse: parse, log: log, stamps: stampsOf(paths)}
	value, err := f.read()
	if err != nil {
		return nil, err
	}
	f.value.Store(&value)
	return f, nil
}

// get returns the last valid value.
func (f *credentialFile[T]) get() T { return *f.value.Load() }

func (f *credentialFile[T]) read() (value T, err error) {
	contents := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		if contents[i], err = readFile(path); err != nil {
			return value, err
		}
	}
	return f.parse(contents)
}

// unreadableError says that a file could not be read.
type unreadableError struct{ err error }

func (e *unreadableError) Error() string {
	return e.err.Error() + ": name a file that this user may read"
}
func (e *unreadableError) Unwrap() error { return e.err }

// readFile reads a file of credentials. A byte order mark at its beginning, as
// some editors write it, is no part of the content.
func readFile(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, &unreadableError{err}
	}
	return bytes.TrimPrefix(content, []byte("\xef\xbb\xbf")), nil
}

// refresh reads the files again if they have changed, or could not be read.
func (f *credentialFile[T]) refresh() {
	f.mu.Lock()
	defer f.mu.Unlock()
	// The stamps are taken before the files are read: a change in between is
	// noticed by the next check.
	if now := stampsOf(f.paths); f.unread || !slices.Equal(now, f.stamps) {
		f.reloadLocked(now)
	}
}

// reload reads the files again, whether they have changed or not.
func (f *credentialFile[T]) reload() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reloadLocked(stampsOf(f.paths))
}

func (f *credentialFile[T]) reloadLocked(now []stamp) {
	changed := !slices.Equal(now, f.stamps)
	f.stamps = now
	files := zap.String("files", strings.Join(f.paths, ", "))
	value, err := f.read()
	_, f.unread = errors.AsType[*unreadableError](err)
	if err != nil {
		if changed || f.failed != err.Error() {
			f.log.Error("credentials not reloaded", files, zap.NamedError("reason", err))
		}
		f.failed = err.Error()
		return
	}
	f.failed = ""
	f.value.Store(&value)
	f.log.Info("credentials reloaded", files)
}

// stamp tells one state of a file from another: content, owner and mode. The zero
// stamp is that of no file.
type stamp = unix.Stat_t

func stampsOf(paths []string) []stamp {
	stamps := make([]stamp, len(paths))
	for i, path := range paths {
		if unix.Stat(path, &stamps[i]) != nil {
			stamps[i] = stamp{}
		}
		stamps[i].Atim, stamps[i].Blocks = unix.Timespec{}, 0 // they change by reading, and by writing to the disk
	}
	return stamps
}

// reloadable is a credentialFile of any type.
type reloadable interface {
	refresh()
	reload()
}

// keepFresh checks the files until ctx is done.
func keepFresh(ctx context.Context, all []reloadable) {
	tick := time.NewTicker(checkInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, f := range all {
				f.refresh()
			}
		}
	}
}

// warnOfReaders warns of a file with secrets that users other than its owner and
// group can read.
func warnOfReaders(log *zap.Logger, path string) {
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o004 != 0 {
		log.Warn("secret readable by all", zap.String("file", path), zap.Stringer("mode", info.Mode()),
			zap.String("cure", "chmod o= on that file"))
	}
}

// lines yields the lines of a file that are neither empty nor comments, trimmed,
// and the place of each: "file:7".
func lines(file string, content []byte) iter.Seq2[string, string] {
	return func(yield func(at, line string) bool) {
		n := 0
		for line := range strings.Lines(string(content)) {
			n++
			line = strings.TrimSpace(line)
			if line == "" || line[0] == '#' {
				continue
			}
			if !yield(fmt.Sprintf("%s:%d", file, n), line) {
				return
			}
		}
	}
}
