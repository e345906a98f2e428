//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// perDirectory is how many files a directory of a tree has.
const perDirectory = 100

// makeTree makes a directory with so many empty files in subdirectories.
func makeTree(dir string, files int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := 0; i*perDirectory < files; i++ {
		sub := filepath.Join(dir, directoryName(i))
		if err := os.Mkdir(sub, 0o755); err != nil {
			return err
		}
		if err := makeFiles(sub, "file", 0, min(perDirectory, files-i*perDirectory)); err != nil {
			return err
		}
	}
	return nil
}

func directoryName(i int) string { return fmt.Sprintf("d%05d", i) }

// makeFiles makes the from-th to the n-th empty file of a name in a directory,
// as fast as one thread can: a system call for each.
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
