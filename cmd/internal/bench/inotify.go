//go:build linux

package main

import (
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// kernel is a reader of inotify that does nothing else: nobody who asks the
// kernel can know of a file any sooner.
type kernel struct {
	fd   int
	dir  string
	seen chan time.Time // when events were read
}

func newKernel(dir string) (*kernel, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE); err != nil {
		unix.Close(fd) //nolint:errcheck // it was not used
		return nil, fmt.Errorf("inotify: %s: %w", dir, err)
	}
	k := &kernel{fd: fd, dir: dir, seen: make(chan time.Time)}
	go k.read()
	return k, nil
}

// read passes on when events come, until one is of the file that ends it.
func (k *kernel) read() {
	defer close(k.seen)
	buf := make([]byte, 4096)
	for {
		n, err := unix.Read(k.fd, buf)
		if err != nil || n >= unix.SizeofInotifyEvent+len(last) && string(buf[unix.SizeofInotifyEvent:][:len(last)]) == last {
			return
		}
		k.seen <- time.Now()
	}
}

const last = "last"

// touch makes a file and returns how long it took until that was read.
func (k *kernel) touch(name string) (time.Duration, error) {
	began := time.Now()
	if err := touch(filepath.Join(k.dir, name)); err != nil {
		return 0, err
	}
	return (<-k.seen).Sub(began), nil
}

func (k *kernel) close() error {
	if err := touch(filepath.Join(k.dir, last)); err != nil {
		return err
	}
	if _, more := <-k.seen; more {
		return fmt.Errorf("inotify: an event too many in %s", k.dir)
	}
	return unix.Close(k.fd)
}
