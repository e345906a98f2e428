//go:build !linux

package watch

import (
	"os"
	"path/filepath"
)

// disk reads what is below one directory. All paths are relative to it, and
// none leads out of it, whatever is moved about meanwhile.
type disk struct{ root *os.Root }

// opened is a directory below, open for reading.
type opened struct {
	disk disk
	path string
	file *os.File
}

// dirents is the buffer that the entries of directories are read into.
type dirents struct{}

// openDisk returns the disk below what is claimed, for as long as it stays so.
func openDisk(c *Claimed) (disk, error) {
	root, err := os.OpenRoot(c.dir)
	return disk{root}, err
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

// stat looks at what is at path. It follows links on the way: use it only
// where a wrong answer costs just another look.
func (k disk) stat(path []byte) (stamp, bool, error) {
	info, err := k.lstat(string(path))
	if err != nil {
		return stamp{}, false, err
	}
	return stampOf(info), info.IsDir(), nil
}

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

func (o opened) stat() (stamp, error) {
	info, err := o.file.Stat()
	if err != nil {
		return stamp{}, err
	}
	return stampOf(info), nil
}

// statName looks at an entry of the directory and reports whether it is a
// directory.
func (o opened) statName(name string) (stamp, bool, error) {
	if o.path != "" {
		name = o.path + "/" + name
	}
	return o.disk.stat([]byte(name))
}

// remote is not known here: the poll goes by stamps alone.
func (o opened) remote() bool { return false }

// list adds the entries of the directory to l.
func (o opened) list(l *listing, _ *dirents) error {
	entries, err := o.file.ReadDir(-1)
	for _, e := range entries {
		l.add([]byte(e.Name()), e.IsDir())
	}
	return err
}

func stampOf(info os.FileInfo) stamp {
	at := info.ModTime().UnixNano()
	return stamp{identity: identify(info), modified: at, changed: at}
}

// followed returns what the absolute path leads to, links and all.
func followed(path string) identity {
	info, err := os.Stat(path)
	if err != nil {
		return identity{}
	}
	return identify(info)
}
