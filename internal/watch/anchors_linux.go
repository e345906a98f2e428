package watch

import (
	"sync"

	"golang.org/x/sys/unix"
)

// anchors are descriptors kept of directories that have stood still, because to
// find a directory by its path is more than a third of what a look at it costs.
// They read nothing and stand in nobody's way: a directory with an anchor can
// be moved and removed, and those on other file systems, which could not be
// unmounted, get none.
//
// An anchor shows the directory that it was dropped on, wherever that is by now,
// so it is used only while that must still be at its path: see [tree.glance].
// What is mounted over a directory changes nothing in any, so the table of
// mounts is watched as well.
type anchors struct {
	left  int    // how many more there may be
	mount uint64 // that of the watched directory
	table int    // descriptor of the table of mounts; -1: there is none, and so no anchors

	reserving sync.WaitGroup
}

// anchor is a descriptor, or one of these.
type anchor int32

const (
	noAnchor   anchor = 0
	unanchored anchor = -1 // there is no use trying
)

func newAnchors(k disk) *anchors {
	a := &anchors{table: -1}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return a
	}
	// The rest is for everything else that the process opens.
	a.left = int(min(limit.Cur-limit.Cur/4, 1<<20))
	mount, err := mountOf(k.fd)
	if err != nil {
		return a
	}
	a.mount = mount
	if a.table, err = unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		a.table = -1
	}
	a.moved()
	return a
}

// reserve prepares for n anchors. Each time that the kernel's table of a process's
// descriptors doubles, all wait some ten milliseconds who open one: so it grows
// once, while nobody does.
func (a *anchors) reserve(k disk, n int) {
	if n = min(n, a.left); a.table < 0 || n < 32 {
		return
	}
	a.reserving.Go(func() {
		if fd, err := unix.FcntlInt(uintptr(k.fd), unix.F_DUPFD_CLOEXEC, n); err == nil {
			_ = unix.Close(fd)
		}
	})
}

// close is called when all anchors have been weighed.
func (a *anchors) close() {
	a.reserving.Wait()
	if a.table >= 0 {
		_ = unix.Close(a.table)
		a.table = -1
	}
}

// moved reports whether something was mounted or unmounted since the last call.
func (a *anchors) moved() bool {
	if a.table < 0 {
		return false
	}
	p := []unix.PollFd{{Fd: int32(a.table), Events: unix.POLLPRI}}
	n, err := retry(func() (int, error) { return unix.Poll(p, 0) })
	return n > 0 || err != nil
}

// drop returns an anchor on the directory at path, which was seen to be id.
func (a *anchors) drop(k disk, path []byte, id identity) anchor {
	if a.table < 0 {
		return unanchored
	}
	if a.left == 0 {
		return noAnchor
	}
	const flags = unix.O_PATH | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := retry(func() (int, error) { return unix.Openat(k.fd, string(path), flags, 0) })
	if err != nil {
		return noAnchor
	}
	s, _, err := statx(fd, nil)
	mount, merr := mountOf(fd)
	switch {
	case err != nil || s.identity != id:
		_ = unix.Close(fd)
		return noAnchor
	case merr != nil || mount != a.mount:
		_ = unix.Close(fd)
		return unanchored
	}
	a.left--
	return anchor(fd)
}

// weigh gives an anchor up.
func (a *anchors) weigh(c anchor) {
	if c > 0 {
		_ = unix.Close(int(c))
		a.left++
	}
}

// stat looks at what the anchor is on.
func (c anchor) stat() (stamp, bool, error) { return statx(int(c), make([]byte, 0, 1)) }

// mountOf returns which mount a descriptor is on.
func mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, err
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, unix.ENOTSUP
	}
	return st.Mnt_id, nil
}
