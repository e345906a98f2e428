//go:build linux

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"scout/cmd/internal/testfleet"
)

// follower reads the events of a master as an EventSource would.
type follower struct {
	end context.CancelFunc

	mu    sync.Mutex
	more  chan struct{} // closed at the next event, or at the end
	last  string        // id
	kinds []string      // of all events
	list  map[string]bool
	ended bool
}

// follow starts to read, after an event or from the beginning.
func follow(t *testing.T, m *master, query, last string) *follower {
	t.Helper()
	ctx, end := context.WithCancel(t.Context())
	f := &follower{end: end, more: make(chan struct{}), list: map[string]bool{}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.HTTP+"/files?"+query, nil)
	must(t, err)
	r.Header.Set("Accept", "text/event-stream")
	if last != "" {
		r.Header.Set("Last-Event-ID", last)
	}
	answer, err := new(http.Client).Do(r)
	must(t, err)
	if kind := answer.Header.Get("Content-Type"); answer.StatusCode != 200 || kind != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, kind)
	}
	t.Cleanup(end)
	go func() {
		defer answer.Body.Close()
		f.read(bufio.NewReader(answer.Body))
	}()
	return f
}

func (f *follower) read(in *bufio.Reader) {
	for {
		change, err := testfleet.ReadEvent(in)
		if err != nil {
			f.note(func() { f.ended = true })
			return
		}
		var entries []testfleet.Entry
		if change.Data != nil {
			if entries, err = testfleet.ParseEntries(change.Data); err != nil {
				panic(fmt.Sprintf("the event %+v: %v", change, err))
			}
		}
		f.note(func() { f.take(change.Kind, change.ID, entries) })
	}
}

func (f *follower) take(kind, id string, entries []testfleet.Entry) {
	if id != "" {
		f.last = id
	}
	f.kinds = append(f.kinds, kind)
	if kind == "reset" {
		clear(f.list)
	}
	for _, e := range entries {
		if kind == "remove" {
			delete(f.list, e.Host+" "+e.Name())
		} else {
			f.list[e.Host+" "+e.Name()] = true
		}
	}
}

func (f *follower) note(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	close(f.more)
	f.more = make(chan struct{})
}

// await waits until a condition holds, which it checks after each event, and returns
// the time that this took.
func (f *follower) await(t *testing.T, what string, condition func() bool) time.Duration {
	t.Helper()
	began, timeout := time.Now(), time.After(patience)
	for {
		f.mu.Lock()
		met, more := condition(), f.more
		f.mu.Unlock()
		if met {
			return time.Since(began)
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("not told within %s: %s", patience, what)
		}
	}
}

// check fails the test when a condition does not hold.
func (f *follower) check(t *testing.T, what string, condition func() bool) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !condition() {
		t.Errorf("%s: told %v, has %v", what, f.kinds, f.list)
	}
}

// A watcher receives each file that comes and goes, and resumes after a break. A
// restarted master, which does not know the earlier events, sends a reset.
func TestEvents(t *testing.T) {
	t.Parallel()
	dir := dirOf(t, "there before")
	httpPort, grpcPort := freePort(t), freePort(t)
	m := startMaster(t, "-http", httpPort, "-grpc", grpcPort)
	s := startScout(t, m, "h", dir)
	f := follow(t, m, "", "")
	f.await(t, "what was there", func() bool { return f.list["h there before"] })
	for i := range rounds(20) {
		name := fmt.Sprint(i)
		write(t, dir, name)
		took := f.await(t, name, func() bool { return f.list["h "+name] })
		must(t, os.Remove(filepath.Join(dir, name)))
		gone := f.await(t, name, func() bool { return !f.list["h "+name] })
		t.Logf("told after %s, and %s", took, gone)
	}

	f.end()
	f.await(t, "the end", func() bool { return f.ended })
	write(t, dir, "meanwhile")
	awaitList(t, m, "h", dir, "meanwhile", "there before")
	f = follow(t, m, "", f.last)
	f.await(t, "what happened meanwhile", func() bool { return len(f.kinds) > 0 })
	f.check(t, "resumed", func() bool { return len(f.list) == 1 && f.list["h meanwhile"] && f.kinds[0] == "add" })

	kill(t, m.Process)
	f.await(t, "the end", func() bool { return f.ended })
	m = startMaster(t, "-http", httpPort, "-grpc", grpcPort)
	f = follow(t, m, "", f.last)
	f.await(t, "the list of a new master", func() bool { return f.list["h meanwhile"] && f.list["h there before"] })
	f.check(t, "from another life", func() bool { return f.kinds[0] == "reset" })

	kill(t, s.Process)
	f.await(t, "that the scout is gone", func() bool { return len(f.list) == 0 })
}

// Consumers that do not read delay neither the scouts, nor other consumers, nor the end
// of the master.
func TestFrozenFollowers(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 300, "-watchers", "60")
	names := find(t, s.dir)
	for range 50 {
		frozen(t, m)
	}
	f := follow(t, m, "host=h", "")
	for range rounds(10) {
		for _, name := range names {
			must(t, os.Rename(filepath.Join(s.dir, name), filepath.Join(s.dir, name+strings.Repeat("x", 200))))
		}
		for _, name := range names {
			must(t, os.Rename(filepath.Join(s.dir, name+strings.Repeat("x", 200)), filepath.Join(s.dir, name)))
		}
	}
	write(t, s.dir, "last")
	f.await(t, "the last", func() bool { return f.list["h last"] && len(f.list) == len(names)+1 })
	converges(t, m, s)
	if took := expectExit(t, m.Process, syscall.SIGTERM, 5*time.Second); took > 4*time.Second {
		t.Errorf("the master stopped after %s", took)
	}
}

// frozen requests events and never reads them.
func frozen(t *testing.T, m *master) {
	t.Helper()
	answer, err := new(http.Client).Get("http://" + m.HTTP + "/files?format=events")
	must(t, err)
	if answer.StatusCode != 200 {
		t.Fatal(answer.Status)
	}
	t.Cleanup(func() { answer.Body.Close() })
}
