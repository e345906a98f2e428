package watch

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"

	"go.uber.org/zap"
)

// limits remembers which limits of the operating system keep directories from
// being watched, and warns of each once, until it no longer does.
type limits struct {
	log     *zap.Logger
	reached atomic.Bool // do not try again until the next poll

	mu     sync.Mutex
	warned map[string]bool // by message
}

func newLimits(log *zap.Logger) *limits {
	return &limits{log: log, warned: map[string]bool{}}
}

// refused is told why the directory at path cannot be watched. It may be called
// by several goroutines at once.
func (l *limits) refused(path string, err error) {
	switch at := zap.String("path", path); {
	case isGone(err), errors.Is(err, syscall.EACCES): // will be seen when it is read
	case errors.Is(err, syscall.ENOSPC):
		l.reached.Store(true)
		l.warn("watch limit reached", at, zap.String("raise", "sysctl fs.inotify.max_user_watches"))
	case isShortage(err):
		l.reached.Store(true)
		l.warn("watches unavailable", at, zap.Error(err),
			zap.String("raise", "sysctl fs.inotify.max_user_instances, or the limit of open files"))
	default:
		l.warn("directory not watched", at, zap.Error(cause(err)))
	}
}

func (l *limits) warn(message string, fields ...zap.Field) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.warned[message] {
		l.warned[message] = true
		l.log.Warn(message, fields...)
	}
}

// retry lets watches be tried again.
func (l *limits) retry() { l.reached.Store(false) }

// relieved makes the next refusal worth a warning again.
func (l *limits) relieved() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.warned)
}

// isLimit reports whether err says that a limit of the system keeps a directory
// from being watched.
func isLimit(err error) bool { return errors.Is(err, syscall.ENOSPC) || isShortage(err) }
