//go:build !linux && !windows

package watch

import (
	"errors"

	"golang.org/x/sys/unix"
)

// lock locks the directory with flock: there are no abstract sockets here. It
// returns a heldError if another process has locked it, which need not be a
// scout.
func (h *held) lock(string, *held) error {
	err := unix.Flock(h.fd(), unix.LOCK_EX|unix.LOCK_NB)
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		return new(heldError)
	case err != nil:
		return &lockRefusedError{err}
	}
	h.locked = flock{}
	return nil
}

// flock ends with the descriptor that carries it.
type flock struct{}

func (flock) Close() error { return nil }
func (flock) maintain()    {}

// lockCure says what to do when the lock is refused.
const lockCure = "choose a directory on a file system with locks"
