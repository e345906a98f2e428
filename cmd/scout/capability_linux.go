package main

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readAll puts the capability to read every directory into effect if the program may
// have it. A file capability of an image is permitted only: if it were in effect from
// the start, a container without the capability could not start the program. Without
// the capability the scout reads what its user may read.
func readAll() {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	const mask = 1 << unix.CAP_DAC_READ_SEARCH
	if err := unix.Capget(&header, &data[0]); err != nil || data[0].Permitted&mask == 0 || data[0].Effective&mask != 0 {
		return
	}
	data[0].Effective |= mask
	// Each thread has capabilities of its own. Programs with C code cannot do this.
	syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0) //nolint:errcheck,gosec // see above; the system call reads both structures
}
