package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk reads what is below one directory. All paths are relative to it, and no
// link in them is ever followed, so that nothing from elsewhere can be listed
// whatever is moved about meanwhile.
type disk struct {
	fd    int
	calls *calls
	same  bool // open no directory of another file system
}

// opened is a directory below, open for reading.
type opened struct {
	fd    int
	calls *calls
}

// dirents is the buffer that the entries of directories are read into.
type dirents struct{ buf [64 << 10]byte }

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openDisk returns the disk below the claimed directory, for as long as it stays
// claimed.
func openDisk(c *Claimed, n *calls, same bool) (disk, error) {
	return disk{c.descriptor(), n, same}, nil
}

func (k disk) close() {}

// stat examines what is at path, which may be overwritten behind its end. It
// follows links on the way: use it only where a wrong answer costs just another
// look.
func (k disk) stat(path []byte) (status, error) {
	k.calls.enter()
	defer k.calls.leave()
	return statx(k.fd, path)
}

// mountID returns the number of the mount that path is on, or 0 if the system
// does not say. No other mount gets it if unique.
func (k disk) mountID(path string) (id uint64, unique bool) {
	const uniqueID = 0x4000 // STATX_MNT_ID_UNIQUE, Linux 6.8
	k.calls.enter()
	defer k.calls.leave()
	var st unix.Statx_t
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT | unix.AT_EMPTY_PATH
	if err := unix.Statx(k.fd, path, flags, uniqueID, &st); err != nil {
		return 0, false
	}
	return st.Mnt_id, st.Mask&uniqueID != 0
}

// open opens the directory at path.
func (k disk) open(path string) (opened, error) {
	if path == "" {
		path = "."
	}
	k.calls.enter()
	defer k.calls.leave()
	fd, err := openBeneath(k.fd, path, k.same)
	return opened{fd, k.calls}, err
}

func (o opened) close() {
	o.calls.enter()
	_ = unix.Close(o.fd)
	o.calls.leave()
}

func (o opened) stat() (status, error) {
	o.calls.enter()
	defer o.calls.leave()
	return statx(o.fd, nil)
}

// statName examines an entry of the directory.
func (o opened) statName(name string) (status, error) {
	o.calls.enter()
	defer o.calls.leave()
	return statx(o.fd, append(make([]byte, 0, 256), name...))
}

// list adds the entries of the directory to l.
func (o opened) list(l *listing, d *dirents) error {
	for {
		o.calls.enter()
		n, err := retry(func() (int, error) { return unix.ReadDirent(o.fd, d.buf[:]) })
		o.calls.leave()
		if n <= 0 || err != nil {
			return err
		}
		o.parse(l, d.buf[:n])
	}
}

// parse adds the entries in buf, which is a sequence of struct linux_dirent64.
func (o opened) parse(l *listing, buf []byte) {
	const length, kind, name = 16, 18, 19 // offsets
	for len(buf) > name {
		rec := buf[:binary.NativeEndian.Uint16(buf[length:])]
		buf = buf[len(rec):]
		entry := rec[name : name+bytes.IndexByte(rec[name:], 0)]
		if string(entry) == "." || string(entry) == ".." {
			continue
		}
		switch rec[kind] {
		case unix.DT_DIR:
			l.add(entry, true)
		case unix.DT_UNKNOWN:
			l.unknown = append(l.unknown, string(entry))
		default:
			l.add(entry, false)
		}
	}
}

// statx examines path relative to fd, or fd itself if path is empty. It needs
// room for one byte behind path to do without an allocation.
func statx(fd int, path []byte) (status, error) {
	const mask = unix.STATX_TYPE | unix.STATX_INO | unix.STATX_MTIME | unix.STATX_CTIME | unix.STATX_BTIME
	flags := unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	if len(path) == 0 {
		flags |= unix.AT_EMPTY_PATH
	}
	var st unix.Statx_t
	path = append(path, 0)
	errno := unix.EINTR
	for errno == unix.EINTR {
		//nolint:gosec // G103: the wrapper in x/sys takes a string, which would be one allocation a directory
		_, _, errno = unix.Syscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&path[0])),
			uintptr(flags), mask, uintptr(unsafe.Pointer(&st)), 0)
	}
	if errno != 0 {
		return status{}, errno
	}
	s := status{
		dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino,
		modified: nanoseconds(st.Mtime), changed: nanoseconds(st.Ctime),
		dir: st.Mode&unix.S_IFMT == unix.S_IFDIR,
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.born = nanoseconds(st.Btime)
	}
	return s, nil
}

// followed returns the identity of what the absolute path leads to, links and
// all.
func followed(path string) uint64 {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	s, err := statx(fd, nil)
	if err != nil {
		return 0
	}
	return s.identity()
}

func nanoseconds(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// fileClock is the time that the kernel would give to a change now.
func fileClock() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return time.Now().UnixNano()
	}
	return now.Nano()
}

// mountPoint reports whether a file system is mounted on the directory.
func mountPoint(fd int) bool {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, 0, &st)
	if err != nil || st.Attributes_mask&unix.STATX_ATTR_MOUNT_ROOT == 0 {
		return crossing(fd)
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
}

// noOpenat2 is set once the system has refused openat2, which is as old as
// Linux 5.6, and which some sandboxes forbid.
var noOpenat2 atomic.Bool

// openBeneath opens a directory without following a link in any part of path,
// and if same without leaving the file system.
func openBeneath(fd int, path string, same bool) (int, error) {
	if noOpenat2.Load() {
		return openStepwise(fd, path)
	}
	how := unix.OpenHow{Flags: dirFlags, Resolve: unix.RESOLVE_NO_SYMLINKS}
	if same {
		how.Resolve |= unix.RESOLVE_NO_XDEV
	}
	got, err := retry(func() (int, error) { return unix.Openat2(fd, path, &how) })
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		got, err = openStepwise(fd, path)
		noOpenat2.Store(noOpenat2.Load() || err == nil)
	}
	return got, err
}

func openStepwise(fd int, path string) (int, error) {
	at, rest, more := fd, path, true
	for more {
		var part string
		part, rest, more = strings.Cut(rest, "/")
		next, err := retry(func() (int, error) { return unix.Openat(at, part, dirFlags, 0) })
		if at != fd {
			_ = unix.Close(at)
		}
		if err != nil {
			return -1, err
		}
		at = next
	}
	return at, nil
}

// retry repeats a call that a signal interrupted.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
