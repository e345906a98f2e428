//go:build unix && !linux

package watch

import (
	"os"
	"syscall"
)

func mountPoint(fd int) bool { return crossing(fd) }

func identify(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{dev: uint64(st.Dev), ino: uint64(st.Ino)}
}
