package watch

import (
	"errors"
	"os"
	"syscall"
)

// isGone reports whether err says that no directory is there (any more).
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) ||
		errors.Is(err, syscall.ELOOP) || errors.Is(err, errNotDir)
}

// isShortage reports whether err is about this process or machine and says
// nothing of what is on the disk.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOMEM)
}
