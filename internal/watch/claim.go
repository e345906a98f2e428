package watch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Claimed is a directory that no other scout process on this machine watches,
// under whatever path. The claim writes nothing, needs no permission to write,
// is invisible to programs that lock the directory, and ends with the process,
// however the process ends.
type Claimed struct {
	dir   string
	mount bool // a file system was mounted there when it was claimed

	mu   sync.Mutex // Release may come from another goroutine than the Watcher's
	held *held      // nil once released
}

// Errors of a directory that was there and is not what was claimed any more.
// They are the reason of a View, so they are worded for people.
var (
	errMissing   = errors.New("the directory does not exist")
	errNotDir    = errors.New("something that is not a directory is in the place of the directory")
	errLink      = errors.New("a symbolic link is in the place of the directory")
	errReplaced  = errors.New("another directory is in the place of the directory")
	errUnmounted = errors.New("the file system of the directory is not mounted")
	errElsewhere = errors.New("the directory now in this place is watched by another scout on this machine")
	errReleased  = errors.New("the claim on the directory was released")
)

// heldError says that another scout has claimed the directory.
type heldError struct{ pid int } // 0: not known

func (e *heldError) Error() string {
	if e.pid == 0 {
		return "watched by another scout on this machine"
	}
	return fmt.Sprintf("watched by another scout on this machine (process %d)", e.pid)
}

// lockRefusedError says that the system does not let this process claim
// anything.
type lockRefusedError struct{ err error }

func (e *lockRefusedError) Error() string { return e.err.Error() }
func (e *lockRefusedError) Unwrap() error { return e.err }

// claimTimeout is how long the directory has to answer at the start.
const claimTimeout = 4 * time.Second

// Claim resolves dir, checks that it is a directory that can be read and
// searched, and locks it. Its errors name the cause and the cure in one line.
func Claim(dir string) (*Claimed, error) {
	if dir == "" {
		return nil, errors.New("no directory to watch: name one")
	}
	type result struct {
		claimed *Claimed
		err     error
	}
	done := make(chan result)
	late := make(chan struct{})
	go func() { // a file system may hang
		c, err := claim(dir)
		select {
		case done <- result{c, err}:
		case <-late:
			if err == nil {
				c.Release()
			}
		}
	}()
	timeout := time.NewTimer(claimTimeout)
	defer timeout.Stop()
	select {
	case r := <-done:
		return r.claimed, r.err
	case <-timeout.C:
		close(late)
		return nil, fmt.Errorf("%s does not answer within %s: see to its file system or choose another directory", dir, claimTimeout)
	}
}

func claim(dir string) (*Claimed, error) {
	path, err := resolve(dir)
	if err != nil {
		return nil, refusal(dir, err)
	}
	h, err := hold(path, nil)
	if err != nil {
		return nil, refusal(dir, err)
	}
	return &Claimed{dir: path, mount: h.mounted(), held: h}, nil
}

// Dir returns the absolute path, in which no part is a link.
func (c *Claimed) Dir() string { return c.dir }

// Release gives the directory up. It may be called more than once, and not
// before a Watcher's Run has returned.
func (c *Claimed) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != nil {
		c.held.close()
		c.held = nil
	}
}

// renew makes sure that what is at the path is the directory that is claimed,
// and otherwise moves the claim to it. Its error is the reason why the
// directory cannot be served.
func (c *Claimed) renew() error {
	err := c.checkPath()
	if !errors.Is(err, errReplaced) {
		return err
	}
	before := c.current()
	if before == nil {
		return errReleased
	}
	successor, err := hold(c.dir, before)
	switch {
	case isHeld(err):
		return errElsewhere
	case err != nil:
		return reason(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held != before {
		successor.close()
		return errReleased
	}
	c.held = successor
	before.close()
	return nil
}

// current returns what is held, or nil once it was released. No call to the file
// system is made under the lock, because that may hang.
func (c *Claimed) current() *held {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held
}

// descriptor returns the open descriptor of the directory, or -1.
func (c *Claimed) descriptor() int {
	if h := c.current(); h != nil {
		return h.fd()
	}
	return -1
}

// checkPath returns nil while the directory at the path is the one that is claimed
// and can be read, and otherwise what is wrong with it.
func (c *Claimed) checkPath() error {
	h := c.current()
	if h == nil {
		return errReleased
	}
	h.maintain()
	now, err := openDirectory(c.dir)
	if err != nil {
		return reason(err)
	}
	defer now.close()
	switch {
	case h.same(now):
		return nil
	case hasLink(c.dir):
		return errLink
	case c.mount && !now.mounted():
		return errUnmounted
	}
	return errReplaced
}

// hold opens the directory at path and locks it, in the place of what was held
// there before, if anything.
func hold(path string, before *held) (*held, error) {
	h, err := openDirectory(path)
	if err != nil {
		return nil, err
	}
	if err := h.lock(path, before); err != nil {
		h.close()
		return nil, err
	}
	return h, nil
}

// resolve returns the absolute path of dir without any link. What follows a
// link is resolved from where it leads, as the system does.
func resolve(dir string) (string, error) {
	if _, err := os.Stat(dir); err != nil { // EvalSymlinks says less of what is wrong
		return "", err
	}
	path, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path) // the way to the working directory may have links too
}

// hasLink reports whether a part of path is a link now, or cannot be examined.
func hasLink(path string) bool {
	resolved, err := filepath.EvalSymlinks(path)
	return err != nil || resolved != path
}

// refusal words why dir cannot be claimed, with what to do about it.
func refusal(dir string, err error) error {
	switch {
	case isHeld(err):
		return fmt.Errorf("%s is %w: stop that one or choose another directory", dir, err)
	case isLockRefused(err):
		return fmt.Errorf("claim %s: the system refuses the lock (%w): %s", dir, err, lockCure)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s does not exist: create it or choose another directory", dir)
	case errors.Is(err, errLink), errors.Is(err, errNotDir), errors.Is(err, syscall.ENOTDIR):
		return fmt.Errorf("%s is not a directory: choose a directory", dir)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s cannot be read and searched: permit it to this user (chmod u+rx), run as its owner, or give the scout the capability DAC_READ_SEARCH", dir)
	}
	cure := "see to its file system"
	switch {
	case errors.Is(err, syscall.ELOOP):
		cure = "correct the links in its path"
	case errors.Is(err, syscall.ENAMETOOLONG):
		cure = "give a shorter path"
	case isShortage(err):
		cure = "raise the limits of open files and memory"
	}
	return fmt.Errorf("%s cannot be opened (%w): %s or choose another directory", dir, cause(err), cure)
}

// reason words why the directory cannot be served.
func reason(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errMissing
	case errors.Is(err, syscall.ENOTDIR):
		return errNotDir
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the directory cannot be read: %w", cause(err))
	}
	return cause(err)
}

// cause strips the operation and the path from an error of package os.
func cause(err error) error {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

func isHeld(err error) bool {
	_, ok := errors.AsType[*heldError](err)
	return ok
}

func isLockRefused(err error) bool {
	_, ok := errors.AsType[*lockRefusedError](err)
	return ok
}
