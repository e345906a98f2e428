//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// glance is the process that does no more than a poll has to: one stat of each
// directory in a tree, by its name, every so often.
func glance(args []string) error {
	every, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(args[0])
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	say("ready", "")
	for {
		pause(context.Background(), every)
		if err := inDirectory(args[0], func(fd int) error { return statEach(fd, names) }); err != nil {
			return err
		}
	}
}

func statEach(fd int, names []string) error {
	var st unix.Stat_t
	for _, name := range names {
		if err := unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return fmt.Errorf("stat %s: %w", name, err)
		}
	}
	return nil
}
