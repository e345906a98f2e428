//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"scout/internal/files/filestest"
)

// shape is the distribution of the files of a tree over its directories.
type shape struct {
	name string // in the name of a row
	make func(dir string, files int) (directories []string, err error)
}

var (
	packaged = shape{"packaged software", makePackaged}
	hundreds = shape{"100 files a directory", makeHundreds}
)

// rowsOf returns a row for each tree, that of people's files first.
func rowsOf(of func(s shape) row) []row { return []row{of(packaged), of(hundreds)} }

// tree is a directory to be watched.
type tree struct {
	path        string
	files       int
	directories []string // relative to path
}

// slowTree is the time from which on the making of a tree is logged.
const slowTree = time.Minute

// tree returns a tree to watch. Rows that change it must restore it.
func (l *lab) tree(s shape, files int) (*tree, error) {
	key := fmt.Sprintf("%s-%d", slug(s.name), files)
	t, ok := l.trees[key]
	if !ok {
		l.log("making a tree of %s files: %s", count(files), s.name)
		t = &tree{path: filepath.Join(l.dir, key), files: files}
		began := time.Now()
		var err error
		if t.directories, err = s.make(t.path, files); err != nil {
			return nil, fmt.Errorf("make a tree: %w", err)
		}
		if took := time.Since(began); took > slowTree {
			l.log("that took %s: ext4 does not use again for minutes what was removed, and looks at all of it for each new file. "+
				"Wait a while before the next run, or give another -dir", seconds.format(took.Seconds()))
		}
		l.trees[key] = t
	}
	return t, checkWatches(len(t.directories))
}

// inTree measures something in a tree of a shape.
func inTree(s shape, measure func(context.Context, *lab, *tree) (result, error)) measurement {
	return func(ctx context.Context, l *lab, p point) (result, error) {
		t, err := l.tree(s, p.files)
		if err != nil {
			return result{}, err
		}
		return measure(ctx, l, t)
	}
}

// makePackaged makes the tree of package filestest.
func makePackaged(dir string, files int) (directories []string, err error) {
	t := filestest.NewTree(files, 1)
	for _, d := range t.Directories {
		directories = append(directories, filepath.Join(".", d.Path))
	}
	return directories, t.Make(dir)
}

// perDirectory is how many files a directory has in the tree of hundreds.
const perDirectory = 100

// makeHundreds makes a tree with perDirectory files in each subdirectory.
func makeHundreds(dir string, files int) (directories []string, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for i := 0; i*perDirectory < files; i++ {
		name := fmt.Sprintf("d%05d", i)
		sub := filepath.Join(dir, name)
		if err := os.Mkdir(sub, 0o755); err != nil {
			return nil, err
		}
		if err := makeFiles(sub, "file", 0, min(perDirectory, files-i*perDirectory)); err != nil {
			return nil, err
		}
		directories = append(directories, name)
	}
	return directories, nil
}

// makeFiles makes empty files of a name, numbered from from to n, in a directory. It is
// as fast as one thread can be: one system call for each.
func makeFiles(dir, name string, from, n int) error {
	return inDirectory(dir, func(fd int) error {
		for i := from; i < n; i++ {
			if err := unix.Mknodat(fd, fileName(name, i), unix.S_IFREG|0o644, 0); err != nil {
				return fmt.Errorf("make file %d in %s: %w", i, dir, err)
			}
		}
		return nil
	})
}

func fileName(name string, i int) string { return fmt.Sprintf("%s-%06d.dat", name, i) }

func inDirectory(dir string, do func(fd int) error) error {
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written to it
	return do(fd)
}

// touch makes an empty file.
func touch(path string) error {
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return fmt.Errorf("touch %s: %w", path, err)
	}
	return unix.Close(fd)
}

// checkWatches skips a row that needs more watches than the system allows.
func checkWatches(directories int) error {
	var limit int
	if _, err := fmt.Sscan(contents("/proc/sys/fs/inotify/max_user_watches"), &limit); err != nil {
		return fmt.Errorf("the limit of watches is not known: %w", err)
	}
	if need := directories + 1; need > limit {
		return skip("it needs %s watches: sysctl fs.inotify.max_user_watches=%d", count(need), 2*need)
	}
	return nil
}

// scratch makes an empty directory, which the returned function removes.
func scratch(parent string) (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(parent, "scout-bench-"); err != nil {
		return "", nil, fmt.Errorf("make a directory: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil //nolint:errcheck // it is in a directory for temporary files
}

// memoryDir is a directory in memory.
const memoryDir = "/dev/shm"

// fast returns the fastest directory to make files in. It is in memory if possible,
// because the file system of a disk may be slower than the scout.
func (l *lab) fast() string {
	if fileSystem(memoryDir) == tmpfs {
		return memoryDir
	}
	return l.dir
}
