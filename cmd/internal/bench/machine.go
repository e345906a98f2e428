//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// machine describes the machine, one line for each part.
func machine(o options) []string {
	total, _ := memory("MemTotal")
	lines := []string{
		fmt.Sprintf("%d cores (%s), %s of memory", runtime.NumCPU(), processor(), byteCount.format(float64(total))),
		fmt.Sprintf("Linux %s, %s", strings.TrimSpace(contents("/proc/sys/kernel/osrelease")), runtime.Version()),
	}
	lines = append(lines, fmt.Sprintf("trees on %s, bursts of files on %s", fileSystem(o.dir), fileSystem((&lab{dir: o.dir}).fast())))
	for _, peer := range [][]string{{"nginx", "-v"}, {"find", "--version"}} {
		if version := firstLine(peer); version != "" {
			lines = append(lines, version)
		}
	}
	return lines
}

const tmpfs = "tmpfs"

// fileSystem names the kind of file system that a directory is on.
func fileSystem(dir string) string {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return "none"
	}
	switch s.Type {
	case unix.TMPFS_MAGIC:
		return tmpfs
	case unix.EXT4_SUPER_MAGIC:
		return "ext4"
	case unix.XFS_SUPER_MAGIC:
		return "XFS"
	case unix.BTRFS_SUPER_MAGIC:
		return "Btrfs"
	case unix.OVERLAYFS_SUPER_MAGIC:
		return "overlay"
	}
	return fmt.Sprintf("file system %#x", s.Type)
}

// memory returns a number of bytes from /proc/meminfo.
func memory(field string) (int64, error) {
	for line := range strings.Lines(contents("/proc/meminfo")) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			var kib int64
			_, err := fmt.Sscan(rest, &kib)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s is not known", field)
}

// roomFor skips a row whose names do not fit into memory three times: in this process,
// in the scoutmaster and in the page cache.
func roomFor(files int) error {
	const each, spare = 400, 1 << 30
	free, err := memory("MemAvailable")
	if err != nil {
		return err
	}
	if need := int64(files)*each + spare; need > free {
		return skip("%s files need %s of free memory, there are %s", count(files),
			byteCount.format(float64(need)), byteCount.format(float64(free)))
	}
	return nil
}

func processor() string {
	for line := range strings.Lines(contents("/proc/cpuinfo")) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			return strings.TrimSpace(strings.TrimLeft(name, "\t :"))
		}
	}
	return runtime.GOARCH
}

func contents(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(b)
}

func firstLine(command []string) string {
	out, err := exec.Command(command[0], command[1:]...).CombinedOutput() //nolint:noctx // it ends at once
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return strings.TrimSpace(line)
}

// loadAverage is the load average of the last minute.
func loadAverage() string {
	load, _, _ := strings.Cut(contents("/proc/loadavg"), " ")
	return load
}

// version is the version of the measured tree.
func version() string { return firstLine([]string{"git", "describe", "--tags", "--always", "--dirty"}) }
