//go:build !windows

package watch

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// held is an open directory. Its lock keeps other scouts from the directory; it
// is nil until lock has succeeded.
type held struct {
	file   *os.File
	info   os.FileInfo
	locked lock
}

// lock keeps other scouts from a directory until it is closed. It is maintained
// about once a second.
type lock interface {
	io.Closer
	maintain()
}

// openDirectory opens the directory at path, which must be readable and
// searchable and not a link.
func openDirectory(path string) (*held, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, openError(path, err)
	}
	h := &held{file: f}
	if h.info, err = f.Stat(); err == nil {
		err = h.searchable()
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return h, nil
}

// openError tells a link from other things that are not directories.
func openError(path string, err error) error {
	if !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP) {
		return err
	}
	switch info, lerr := os.Lstat(path); {
	case lerr != nil:
		return lerr
	case info.Mode()&os.ModeSymlink != 0:
		return errLink
	}
	return errNotDir
}

// searchable looks up a name in the directory, which needs another permission
// than reading it.
func (h *held) searchable() error {
	var st unix.Stat_t
	return unix.Fstatat(h.fd(), ".", &st, unix.AT_SYMLINK_NOFOLLOW)
}

// mounted reports whether a file system is mounted on the directory.
func (h *held) mounted() bool { return mountPoint(h.fd()) }

func (h *held) same(o *held) bool { return os.SameFile(h.info, o.info) }
func (h *held) fd() int           { return int(h.file.Fd()) }

// close ends the lock and closes the directory.
func (h *held) close() {
	if h.locked != nil {
		_ = h.locked.Close()
	}
	_ = h.file.Close()
}

// crossing reports whether the directory lies on another device than its
// parent, or is the root of all.
func crossing(fd int) bool {
	var here, above unix.Stat_t
	if unix.Fstat(fd, &here) != nil || unix.Fstatat(fd, "..", &above, 0) != nil {
		return false
	}
	return here.Dev != above.Dev || here.Ino == above.Ino
}

func (h *held) maintain() {
	if h.locked != nil {
		h.locked.maintain()
	}
}
