package watch

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"

	"golang.org/x/sys/windows"
)

// held is an open directory and a mutex named after its path. Unlike the lock
// of other systems it is not on the directory itself: two paths of one
// directory that links do not explain (a substituted drive, say) are two claims.
type held struct {
	file  *os.File
	info  os.FileInfo
	mutex windows.Handle
}

func openDirectory(path string) (*held, error) {
	link, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil, err
	case link.Mode()&os.ModeSymlink != 0:
		return nil, errLink
	case !link.IsDir():
		return nil, errNotDir
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &held{file: f, info: info}, nil
}

func (h *held) lock(path string, before *held) error {
	if before != nil {
		h.mutex, before.mutex = before.mutex, 0
		return nil
	}
	sum := fnv.New128a()
	sum.Write([]byte(strings.ToLower(path)))
	name, err := windows.UTF16PtrFromString(fmt.Sprintf(`Global\scout-%x`, sum.Sum(nil)))
	if err != nil {
		return err
	}
	h.mutex, err = windows.CreateMutex(nil, false, name)
	if errors.Is(err, windows.ERROR_ALREADY_EXISTS) {
		return new(heldError)
	}
	return err
}

func (h *held) mounted() bool     { return false }
func (h *held) same(o *held) bool { return os.SameFile(h.info, o.info) }

func (h *held) close() {
	if h.mutex != 0 {
		_ = windows.CloseHandle(h.mutex)
	}
	_ = h.file.Close()
}

const lockCure = "run the scout as another user"

func (h *held) maintain() {}
