package watch

import (
	"bytes"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"scout/internal/wake"
)

// readMounts returns the present table of mounts, or nothing if there is none.
func readMounts() mountTable {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	return parseMounts(text)
}

// parseMounts reads /proc/self/mountinfo: see proc(5).
func parseMounts(text []byte) (t mountTable) {
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		end := 6 // of the fields that each line has
		for end < len(fields) && fields[end] != "-" {
			end++
		}
		if end+1 >= len(fields) {
			continue
		}
		t = append(t, mount{
			id: fields[0], parent: fields[1], device: fields[2],
			root: unescape(fields[3]), point: unescape(fields[4]), kind: fields[end+1],
		})
	}
	return t
}

// unescape replaces a backslash with three octal digits by the byte that they
// stand for.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b = append(b, byte(c))
				i += 3
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

// mountWatch tells when the table of mounts has changed.
type mountWatch struct {
	changed wake.Signal
	end     func() // waits for its goroutine
}

func watchMounts() mountWatch {
	changed := wake.NewSignal()
	w := mountWatch{changed: changed, end: func() {}}
	table, err := unix.Open("/proc/self/mountinfo", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return w
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		_ = unix.Close(table)
		return w
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		pollMounts(changed, table, pipe[0])
	}()
	w.end = func() {
		_ = unix.Close(pipe[1])
		<-ended
		_ = unix.Close(pipe[0])
		_ = unix.Close(table)
	}
	return w
}

// pollMounts sets the signal at each change until the other end of the pipe
// closes.
func pollMounts(changed wake.Signal, table, pipe int) {
	for {
		p := []unix.PollFd{{Fd: int32(table), Events: unix.POLLPRI}, {Fd: int32(pipe), Events: unix.POLLIN}}
		_, err := retry(func() (int, error) { return unix.Poll(p, -1) })
		if err != nil || p[1].Revents != 0 {
			return
		}
		changed.Set()
	}
}
