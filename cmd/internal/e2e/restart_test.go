//go:build linux

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// A master that is killed and started again on its port has every scout back
// by itself, with what was made and removed meanwhile.
func TestMasterRestart(t *testing.T) {
	t.Parallel()
	ports := []string{"-grpc", freePort(t), "-http", freePort(t)}
	m := startMaster(t, ports...)
	scouts := startScouts(t, m, 3, 100)
	stable := find(t, scouts[0].dir) // of all of them
	converges(t, m, scouts...)

	for round := range 2 {
		kill(t, m.Process)
		for _, s := range scouts {
			write(t, s.dir, "made meanwhile", fmt.Sprint(round))
			must(t, os.Remove(filepath.Join(s.dir, stable[round])))
		}
		m = startMaster(t, ports...)
		c := consume(t, m)
		for _, s := range scouts {
			c.isWhole(s, stable[2:])
		}
		took := converges(t, m, scouts...)
		t.Logf("everything is back %s after the master", took)
		c.done()
	}
	for _, s := range scouts {
		if n := len(s.Logged(0, "master lost")); n != 2 {
			t.Errorf("the master was lost %d times, not 2: %s", n, s.Tail())
		}
	}
}

// A master that is stopped in good order, and started again, likewise; the
// scouts say why they lost it.
func TestMasterRestartInGoodOrder(t *testing.T) {
	t.Parallel()
	ports := []string{"-grpc", freePort(t), "-http", freePort(t)}
	m, s := startPair(t, 1, ports...)
	expectExit(t, m.Process, syscall.SIGTERM, soon)
	awaitReason(t, s.Process, "master lost", "NOT_SERVING: the scoutmaster is stopping")
	awaitReason(t, m.Process, "scout dropped", "scoutmaster stopping")
	write(t, s.dir, "y")
	m = startMaster(t, ports...)
	converges(t, m, s)
}

// A master that returns on another port is not found: the scout says so after
// ten seconds, and not before, and goes on; a master that returns on the old
// port is.
func TestOrphan(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes ten seconds")
	}
	port := freePort(t)
	m, s := startPair(t, 1, "-grpc", port)
	began := time.Now()
	kill(t, m.Process)
	elsewhere := startMaster(t)
	lost := await(t, s.Process, "master lost")
	if took := time.Since(began); took > soon {
		t.Errorf("it noticed after %s", took)
	}
	orphaned := await(t, s.Process, "orphaned")
	if waited := orphaned.Time().Sub(lost.Time()); waited < 9900*time.Millisecond {
		t.Errorf("orphaned after %s: %v", waited, orphaned)
	}
	if orphaned.Text("master") != m.GRPC || orphaned.Text("reason") == "" || orphaned.Number("seconds") < 9.9 {
		t.Errorf("%v", orphaned)
	}
	if err := elsewhere.absent(s); err != nil {
		t.Error(err)
	}
	write(t, s.dir, "made meanwhile")
	m = startMaster(t, "-grpc", port)
	converges(t, m, s)
	if n := len(s.Logged(0, "orphaned")); n != 1 {
		t.Errorf("it said so %d times: %s", n, s.Tail())
	}
}

// A master that was frozen for three deadlines does not blame those who stayed
// connected: their sessions go on. Real scouts give it up at the deadline, as
// they must, and are back and exact in seconds.
func TestFrozenMaster(t *testing.T) {
	t.Parallel()
	const deadline = time.Second
	m := startMaster(t, "-heartbeat", "200ms", "-deadline", deadline.String())
	scouts := startScouts(t, m, 3, 20)
	converges(t, m, scouts...)
	// A peer that continues to send, and has no deadline.
	patient := dialRaw(t, m)
	patient.register("patient", "/somewhere")
	patient.show("here")
	defer patient.live(200 * time.Millisecond)()

	from := len(m.Events())
	signal(t, m.Process, syscall.SIGSTOP)
	for _, s := range scouts {
		write(t, s.dir, "made meanwhile")
	}
	time.Sleep(3 * deadline)
	signal(t, m.Process, syscall.SIGCONT)
	awaitList(t, m, "patient", "/somewhere", "here")
	for _, s := range scouts {
		want := find(t, s.dir)
		t.Logf("exact after %s", awaitList(t, m, s.host, s.dir, want...))
	}
	time.Sleep(2 * deadline) // whoever was blamed would be gone by now
	if err := m.lists("patient", "/somewhere", "here"); err != nil {
		t.Error(err)
	}
	for _, e := range m.Logged(from, "scout dropped") {
		if e.Text("reason") == "silent past deadline" || e.Text("host") == "patient" {
			t.Errorf("%v", e)
		}
	}
}

// A master that was frozen for less than the deadline loses nobody.
func TestBrieflyFrozenMaster(t *testing.T) {
	t.Parallel()
	m, s := startPair(t, 0, "-heartbeat", "500ms", "-deadline", "10s")
	for i := range 3 {
		signal(t, m.Process, syscall.SIGSTOP)
		fill(t, s.at(fmt.Sprint(i)), 50)
		time.Sleep(800 * time.Millisecond)
		signal(t, m.Process, syscall.SIGCONT)
		converges(t, m, s)
	}
	never(t, m.Process, 0, "scout dropped")
	never(t, s.Process, 0, "master lost")
}

// A master that is told to stop does within 5 s, with exit code 0, and tells a
// hundred scouts, those too that do not listen.
func TestMasterStops(t *testing.T) {
	t.Parallel()
	watching, talking, mute := 10, 45, 45
	if testing.Short() {
		watching, talking, mute = 3, 12, 15
	}
	m := startMaster(t)
	scouts := startScouts(t, m, watching, 3)
	for i := range talking + mute {
		r := dialRaw(t, m)
		r.register("raw", fmt.Sprint("/", i))
		r.show("a", "b", "c")
		if i < talking {
			defer r.live(500 * time.Millisecond)()
		}
	}
	t.Logf("stopped after %s", expectExit(t, m.Process, syscall.SIGTERM, 5*time.Second))
	for _, s := range scouts {
		awaitReason(t, s.Process, "master lost", "NOT_SERVING: the scoutmaster is stopping")
	}
}

// Whoever waits for changes is sent away before the scouts are: a stop is no change.
func TestMasterStopsBesideWaitingConsumers(t *testing.T) {
	t.Parallel()
	m, _ := startPair(t, 20)
	f := follow(t, m, "", "")
	f.await(t, "the list", func() bool { return len(f.list) == 20 })
	_, tag, err := m.ask("/files", "")
	must(t, err)
	status := make(chan int, 1)
	go func() {
		code, _, err := m.ask("/files?wait=40s", tag)
		if err != nil {
			t.Error(err)
		}
		status <- code
	}()
	time.Sleep(500 * time.Millisecond) // the request is on its way, or the answer is the same
	expectExit(t, m.Process, syscall.SIGTERM, 5*time.Second)
	if code := <-status; code != http.StatusNotModified {
		t.Errorf("a long poll was answered with %d, want 304", code)
	}
	f.await(t, "the end", func() bool { return f.ended })
	f.check(t, "nothing was removed", func() bool { return len(f.list) == 20 && !slices.Contains(f.kinds, "remove") })
}

// A consumer that does not read holds up a stop for seconds at most; a second
// signal ends the master at once.
func TestMasterStopsDespiteConsumer(t *testing.T) {
	t.Parallel()
	for _, signals := range []int{1, 2} {
		t.Run(fmt.Sprint(signals, " signals"), func(t *testing.T) {
			t.Parallel()
			names := longNames(30_000, 1000)
			m := startMaster(t, "-deadline", "1m")
			r := dialRaw(t, m)
			r.register("raw", "/")
			r.show(names...)
			await(t, m.Process, "files synced")
			_, err := sendRequest(t, m.HTTP, "HTTP/1.1").Read(make([]byte, 1)) // and no more
			must(t, err)
			if signals == 1 {
				t.Logf("stopped after %s", expectExit(t, m.Process, syscall.SIGTERM, 6*time.Second))
				await(t, m.Process, "requests cut off")
				return
			}
			signal(t, m.Process, syscall.SIGTERM)
			await(t, m.Process, "stopping")
			began := time.Now()
			signal(t, m.Process, syscall.SIGTERM)
			code, err := m.AwaitExit(soon)
			if err != nil || code != 128+int(syscall.SIGTERM) {
				t.Errorf("exit code %d, %v: %s", code, err, m.Tail())
			}
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// longNames are n different names of so many bytes, in order.
func longNames(n, size int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("%0*d", size, i))
	}
	return names
}
