//go:build linux

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Every byte that a name may have, alone, in front, inside and at the end; and
// what is nearly UTF-8. The list is JSON, and the exact bytes are in it.
func TestNamesOfAnyBytes(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0)
	var names []string
	step := 256 / rounds(256) // fewer when time is short
	for b := 1; b < 256; b += step {
		if b != '/' && b != '.' {
			c := string([]byte{byte(b)})
			names = append(names, c, "a"+c, c+"a", "a"+c+"a", c+c, "éé"+c, "prefix of eight bytes"+c+"and more than eight")
		}
	}
	for _, bad := range []string{
		"\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\xaf", "\xe0\x80\xaf", "\xf0\x9f\x98", "\xef\xbf\xbd", "\xef\xbf\xbd\xff", "\xef\xbf", "\xfe\xff",
		"\u0080", "\u009f", "\u2028", "\u202e", "\ufeff", "\U0010ffff", "...", "..a", ".a", "a.", "-", "--", "~", "$(x)", "%00", "\\u0000", "&amp;", "<b>",
	} {
		names = append(names, bad, "x"+bad, bad+"x")
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for i, name := range names {
		must(t, os.WriteFile(s.at(name), nil, 0o600))
		if i%16 == 0 {
			write(t, s.at("in"), name+"dir", name)
		}
	}
	converges(t, m, s)
	for i, name := range names {
		if i%2 == 0 {
			must(t, os.Remove(s.at(name)))
		}
	}
	must(t, os.Rename(s.at("in"), s.at("in\xff\n")))
	converges(t, m, s)
}

// Names of 255 bytes, 200 levels, and a path of 4096 bytes: as much as there
// can be is listed.
//
// Not all directories that deep can be watched: the poll is on.
func TestLongNames(t *testing.T) {
	t.Parallel()
	m, dir := startMaster(t), tempDir(t)
	s := startScout(t, m, "h", dir, "-poll", "200ms")
	for _, c := range []string{"n", "é", "\xff", "\n"} {
		write(t, s.dir, strings.Repeat(c, 255/len(c)))
	}
	write(t, s.dir, strings.Repeat("d/", 200), "file")
	deep(t, s.dir, 4096)
	deep(t, s.dir, 4095)
	deep(t, s.dir, 4000)
	converges(t, m, s)
	deep(t, s.dir, 4094)
	must(t, os.Rename(filepath.Join(s.dir, "d"), filepath.Join(s.dir, "e")))
	write(t, s.dir, "e", strings.Repeat("d/", 199), "later")
	converges(t, m, s)
}

// Paths that are too long to be listed are counted as unreadable; all others
// are listed, and a rename that shortens them makes them so.
func TestPathsTooLong(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0, "-heartbeat", "200ms")
	dir := s.dir
	deep(t, dir, 4097)
	write(t, dir, "file")
	awaitList(t, m, "h", dir, "file")
	if e := await(t, m.Process, "scout degraded"); e.Number("unreadable") == 0 {
		t.Errorf("%v", e)
	}
	first := strings.Repeat("p", 200) + "4097"
	must(t, os.Rename(filepath.Join(dir, first), filepath.Join(dir, "p")))
	converges(t, m, s)
}

// deep makes a file whose path in dir has so many bytes, more than the kernel
// takes at once.
func deep(t *testing.T, dir string, length int) {
	t.Helper()
	at, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	must(t, err)
	part := strings.Repeat("p", 200) + fmt.Sprint(length) // so that they do not share directories
	for length > 255 {
		must(t, unix.Mkdirat(at, part, 0o755))
		next, err := unix.Openat(at, part, unix.O_DIRECTORY, 0)
		unix.Close(at)
		must(t, err)
		at = next
		length -= len(part) + 1
	}
	defer unix.Close(at)
	f, err := unix.Openat(at, strings.Repeat("f", length), unix.O_CREAT|unix.O_WRONLY, 0o600)
	must(t, err)
	unix.Close(f)
}
