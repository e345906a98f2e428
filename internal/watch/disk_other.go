//go:build !linux

package watch

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk reads what is below one directory. All paths are relative to it, and
// none leads out of it, whatever is moved about meanwhile.
type disk struct {
	root  *os.Root
	calls *calls
}

// opened is a directory below, open for reading.
type opened struct {
	disk disk
	path string
	file *os.File
}

// dirents is the buffer that the entries of directories are read into.
type dirents struct{}

// openDisk returns the disk below what is claimed, for as long as it stays so.
func openDisk(c *Claimed, n *calls, _ bool) (disk, error) {
	root, err := os.OpenRoot(c.dir)
	return disk{root, n}, err
}

func (k disk) close() { _ = k.root.Close() }

func (k disk) lstat(path string) (os.FileInfo, error) {
	return k.root.Lstat(local(path))
}

func local(path string) string {
	if path == "" {
		return "."
	}
	return filepath.FromSlash(path)
}

// stat examines what is at path. It follows links on the way: use it only where
// a wrong answer costs just another look.
func (k disk) stat(path []byte) (status, error) {
	info, err := k.lstat(string(path))
	if err != nil {
		return status{}, err
	}
	return statusOf(info), nil
}

func (k disk) mountID(string) (id uint64, unique bool) { return 0, true }

// open opens the directory at path, which must not be a link.
func (k disk) open(path string) (opened, error) {
	before, err := k.lstat(path)
	if err != nil {
		return opened{}, err
	}
	if !before.IsDir() {
		return opened{}, errNotDir
	}
	f, err := k.root.Open(local(path))
	if err != nil {
		return opened{}, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		_ = f.Close()
		return opened{}, os.ErrNotExist
	}
	return opened{k, path, f}, nil
}

func (o opened) close() { _ = o.file.Close() }

func (o opened) stat() (status, error) {
	info, err := o.file.Stat()
	if err != nil {
		return status{}, err
	}
	return statusOf(info), nil
}

// statName examines an entry of the directory.
func (o opened) statName(name string) (status, error) {
	if o.path != "" {
		name = o.path + "/" + name
	}
	return o.disk.stat([]byte(name))
}

// list adds the entries of the directory to l.
func (o opened) list(l *listing, _ *dirents) error {
	entries, err := o.file.ReadDir(-1)
	for _, e := range entries {
		l.add([]byte(e.Name()), e.IsDir())
	}
	return err
}

func statusOf(info os.FileInfo) status {
	at := info.ModTime().UnixNano()
	s := status{modified: at, changed: at, dir: info.IsDir()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.dev, s.ino = uint64(st.Dev), uint64(st.Ino)
	}
	return s
}

// followed returns the identity of what the absolute path leads to, links and
// all.
func followed(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return statusOf(info).identity()
}

func mountPoint(fd int) bool { return crossing(fd) }

// fileClock is the time that a change of a directory would get now.
func fileClock() int64 { return time.Now().UnixNano() }
