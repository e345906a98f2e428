package watch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// disk reads what is below one directory. All paths are relative to it, and no
// link in them is ever followed, so that nothing from elsewhere can be listed
// whatever is moved about meanwhile.
type disk struct{ fd int }

// opened is a directory below, open for reading.
type opened struct{ fd int }

// dirents is the buffer that the entries of directories are read into.
type dirents struct{ buf [64 << 10]byte }

const dirFlags = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// openDisk returns the disk below what is claimed, for as long as it stays so.
func openDisk(c *Claimed) (disk, error) { return disk{c.held.fd()}, nil }

func (k disk) close() {}

// stat looks at what is at path, which may be overwritten behind its end. It
// follows links on the way: use it only where a wrong answer costs just another
// look.
func (k disk) stat(path []byte) (stamp, bool, error) { return statx(k.fd, path) }

// open opens the directory at path.
func (k disk) open(path string) (opened, error) {
	if path == "" {
		path = "."
	}
	fd, err := openBeneath(k.fd, path)
	return opened{fd}, err
}

func (o opened) close() { _ = unix.Close(o.fd) }

func (o opened) stat() (stamp, error) {
	s, _, err := statx(o.fd, nil)
	return s, err
}

// statName looks at an entry of the directory and reports whether it is a
// directory.
func (o opened) statName(name string) (stamp, bool, error) {
	return statx(o.fd, append(make([]byte, 0, 256), name...))
}

// remote reports whether the file system is one that other machines, or a
// program, can change without notification.
func (o opened) remote() bool {
	var st unix.Statfs_t
	if err := unix.Fstatfs(o.fd, &st); err != nil {
		return false
	}
	switch uint32(st.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC,
		unix.CEPH_SUPER_MAGIC, unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC,
		unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC, unix.OCFS2_SUPER_MAGIC,
		0x01161970 /* GFS2 */, 0x0BD00BD0 /* Lustre */, 0x786F4256 /* VirtualBox */ :
		return true
	}
	return false
}

// list adds the entries of the directory to l.
func (o opened) list(l *listing, d *dirents) error {
	for {
		n, err := retry(func() (int, error) { return unix.ReadDirent(o.fd, d.buf[:]) })
		if n <= 0 || err != nil {
			return err
		}
		if err := o.parse(l, d.buf[:n]); err != nil {
			return err
		}
	}
}

// parse adds the entries in buf, which is a sequence of struct linux_dirent64.
func (o opened) parse(l *listing, buf []byte) error {
	const length, kind, name = 16, 18, 19 // offsets
	for len(buf) > name {
		rec := buf[:binary.NativeEndian.Uint16(buf[length:])]
		buf = buf[len(rec):]
		entry := rec[name : name+bytes.IndexByte(rec[name:], 0)]
		if string(entry) == "." || string(entry) == ".." {
			continue
		}
		sub := rec[kind] == unix.DT_DIR
		if rec[kind] == unix.DT_UNKNOWN {
			var err error
			if _, sub, err = o.statName(string(entry)); isGone(err) {
				continue
			} else if err != nil {
				return err
			}
		}
		l.add(entry, sub)
	}
	return nil
}

// statx looks at path relative to fd, or at fd itself when path is empty, and
// reports whether it is a directory. It needs room for one byte behind path to
// do without an allocation.
func statx(fd int, path []byte) (stamp, bool, error) {
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
		return stamp{}, false, errno
	}
	s := stamp{
		identity: identity{dev: unix.Mkdev(st.Dev_major, st.Dev_minor), ino: st.Ino},
		modified: nanoseconds(st.Mtime), changed: nanoseconds(st.Ctime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		s.born = nanoseconds(st.Btime)
	}
	return s, st.Mode&unix.S_IFMT == unix.S_IFDIR, nil
}

// followed returns what the absolute path leads to, links and all.
func followed(path string) identity {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return identity{}
	}
	defer opened{fd}.close()
	s, _, _ := statx(fd, nil)
	return s.identity
}

func nanoseconds(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

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

// openBeneath opens a directory without following a link in any part of path.
func openBeneath(fd int, path string) (int, error) {
	if noOpenat2.Load() {
		return openStepwise(fd, path)
	}
	how := unix.OpenHow{Flags: dirFlags, Resolve: unix.RESOLVE_NO_SYMLINKS}
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
