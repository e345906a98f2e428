package watch

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// The lock is a Unix socket with an abstract name, which consists of the device
// and the inode of the directory. The kernel lets one process listen on such a
// name and frees it when that process ends. Nothing is written to any disk, the
// directory's permissions play no part, and programs that lock the directory
// with flock neither wait for a scout nor keep one from starting.
//
// Abstract names belong to a network namespace: scouts in different ones, as in
// containers that do not share the host's network, do not see each other here.
// Of those, the scoutmaster refuses the second one with the same host name.

// lockName returns the name of the socket that locks the directory.
func (h *held) lockName() (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(h.fd(), &st); err != nil {
		return "", err
	}
	return fmt.Sprintf("@scout/directory/%x:%x", st.Dev, st.Ino), nil
}

// lock locks the directory. It returns a heldError if another process has
// locked it.
func (h *held) lock(string, *held) error {
	name, err := h.lockName()
	if err != nil {
		return err
	}
	l, err := listen(name)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return &heldError{pid: listenerOf(name)}
	case err != nil:
		return &lockRefusedError{err}
	}
	h.locked = l
	return nil
}

// socketLock is a listening socket. It listens so that a scout that finds the
// name taken can ask the kernel which process has it.
type socketLock int

func listen(name string) (socketLock, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, err
	}
	if err = unix.Bind(fd, &unix.SockaddrUnix{Name: name}); err == nil {
		err = unix.Listen(fd, unix.SOMAXCONN)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return socketLock(fd), nil
}

// Close ends the lock.
func (l socketLock) Close() error { return unix.Close(int(l)) }

// maintain closes the connections of scouts that have found the name taken: to
// have reached the socket was all that they needed.
func (l socketLock) maintain() {
	for {
		c, _, err := unix.Accept4(int(l), unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		_ = unix.Close(c)
	}
}

// listenerOf returns the process that listens on a name, or 0 if that is not
// known: the process may be in another namespace, frozen for a long time, or
// gone by now.
func listenerOf(name string) int {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return 0
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0
	}
	return int(peer.Pid)
}

// lockCure says what to do when the lock is refused.
const lockCure = "permit Unix sockets to the scout (RestrictAddressFamilies=AF_UNIX in systemd, its seccomp or AppArmor profile)"
