//go:build linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// The events that scripts rely on are there under their names, with their
// fields, through a scout's whole life.
func TestLogs(t *testing.T) {
	t.Parallel()
	m := startMaster(t)
	dir := filepath.Join(tempDir(t), "dir")
	fill(t, dir, 5)
	s := startScout(t, m, "h", dir)
	converges(t, m, s)
	write(t, dir, "new")
	converges(t, m, s)
	usurper := dialRaw(t, m)
	usurper.hello("h", dir)
	usurper.ended()

	must(t, os.Rename(dir, dir+"-away"))
	awaitAbsent(t, m, s)
	must(t, os.Rename(dir+"-away", dir))
	converges(t, m, s)
	expectExit(t, s.Process, syscall.SIGTERM, stopTime)
	awaitAbsent(t, m, s)

	await(t, m.Process, "scout dropped") // the log comes by a way of its own
	session := await(t, s.Process, "registered").Text("session")
	for _, want := range []struct {
		of     *testfleet.Process
		msg    string
		fields map[string]any
	}{
		{m.Process, "serving", map[string]any{"grpc": m.GRPC, "http": m.HTTP, "heartbeat": 1.0, "deadline": 3.0, "version": nil}},
		{m.Process, "scout registered", map[string]any{"host": "h", "directory": dir, "session": session, "version": nil}},
		{m.Process, "files synced", map[string]any{"host": "h", "directory": dir, "files": 5.0, "added": 5.0, "removed": 0.0, "revision": nil, "seconds": nil}},
		{m.Process, "files synced", map[string]any{"host": "h", "directory": dir, "files": 6.0, "added": 1.0, "removed": 0.0, "revision": nil, "seconds": nil}},
		{m.Process, "registration refused", map[string]any{"host": "h", "directory": dir, "holder": nil}},
		{m.Process, "scout hidden", map[string]any{"host": "h", "directory": dir, "reason": nil}},
		{m.Process, "scout shown", map[string]any{"host": "h", "directory": dir, "reason": nil}},
		{m.Process, "scout dropped", map[string]any{"host": "h", "directory": dir, "reason": "deregistered"}},
		{s.Process, "directory claimed", map[string]any{"host": "h", "directory": dir}},
		{s.Process, "registered", map[string]any{"host": "h", "directory": dir, "session": nil}},
		{s.Process, "snapshot sent", map[string]any{"host": "h", "directory": dir, "files": 5.0, "bytes": nil, "seconds": nil}},
	} {
		if !logged(want.of, want.msg, want.fields) {
			t.Errorf("there is no %q with %v in %v", want.msg, want.fields, want.of.Logged(0, want.msg))
		}
	}
	for _, p := range []*testfleet.Process{m.Process, s.Process} {
		checkLog(t, p)
	}
}

// logged reports whether there is an event with the message and the fields; nil
// is any value that is not empty.
func logged(p *testfleet.Process, msg string, fields map[string]any) bool {
	for _, e := range p.Logged(0, msg) {
		all := true
		for name, want := range fields {
			got, ok := e[name]
			all = all && ok && got != "" && (want == nil || got == want)
		}
		if all {
			return true
		}
	}
	return false
}

// checkLog checks what is true of every event.
func checkLog(t *testing.T, p *testfleet.Process) {
	t.Helper()
	for _, e := range p.Events() {
		if _, err := time.Parse(time.RFC3339, e.Text("time")); err != nil || e.Text("level") == "" || e.Msg() == "" {
			t.Errorf("%v: %v", e, err)
		}
		for name := range e {
			if strings.ToLower(name) != name || strings.ContainsAny(name, " -.") {
				t.Errorf("the field %q of %v", name, e)
			}
		}
	}
}

// For people the log is on the console, and silent when all is well and only
// errors are asked for.
func TestConsoleLog(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"info": "  info  serving  ", "error": ""} {
		var log bytes.Buffer
		_, stop := startMasterTo(t, &log, "-log-format", "console", "-log-level", level)
		stop()
		if text := log.String(); !strings.Contains(text, want) || strings.Contains(text, "{\"level\"") || (want == "" && text != "") {
			t.Errorf("at level %s the log is %q", level, text)
		}
	}
}

// The reader of the log may leave, as a restarted collector does: both
// programs go on.
func TestLogWithoutReader(t *testing.T) {
	t.Parallel()
	unread := unreadPipe(t)
	m, _ := startMasterTo(t, unread)
	dir := dirOf(t, "a")
	startTo(t, unread, command(programs.Scout, "-dir", dir, "-master", m.GRPC, "-host", "h"))
	awaitList(t, m, "h", dir, "a")
	write(t, dir, "b")
	awaitList(t, m, "h", dir, "a", "b")
}

// unreadPipe returns the end of a pipe that nobody reads any more.
func unreadPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	must(t, err)
	must(t, r.Close())
	t.Cleanup(func() { w.Close() })
	return w
}
