//go:build linux

package e2e

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// slowReader asks for the list and reads it at a rate of bytes a second, until
// the test ends. It has a small window, so that what it does not read waits in
// the master.
func slowReader(t *testing.T, m *master, rate int) {
	t.Helper()
	conn, err := net.Dial("tcp", m.HTTP)
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	must(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = fmt.Fprintf(conn, "GET /files HTTP/1.1\r\nHost: x\r\n\r\n")
	must(t, err)
	go func() {
		const parts = 10
		buf := make([]byte, rate/parts)
		for {
			if _, err := io.ReadFull(conn, buf); err != nil {
				return
			}
			time.Sleep(time.Second / parts)
		}
	}()
}

// Fifty consumers that read at 1 KB/s a list that changes all the time: the
// master's memory is bounded, and changes and others' answers come at once.
func TestSlowConsumers(t *testing.T) {
	t.Parallel()
	span := 5 * time.Second
	if *long {
		span = time.Minute
	}
	m := startMaster(t, "-deadline", "1m")
	bulk := dialRaw(t, m)
	bulk.register("bulk", "/")
	bulk.show(bulkyNames(0, 20_000)...) // 20 MB
	await(t, m.Process, "files synced")
	dir := tempDir(t)
	names := fill(t, dir, 20)
	s := startScout(t, m, "h", dir)
	within(t, patience, func() error { return m.hasOf(s, len(names)) })
	if _, err := m.Get("/files"); err != nil { // what is kept of the text is there
		t.Fatal(err)
	}

	before := resident(t, m.Process)
	for range 50 {
		slowReader(t, m, 1000)
	}
	var slowest time.Duration
	most, changes := before, 0
	for began := time.Now(); time.Since(began) < span; changes++ {
		write(t, dir, fmt.Sprint("still ", changes))
		slowest = max(slowest, within(t, patience, func() error { return m.hasOf(s, len(names)+changes+1) }))
		bulk.update(bulk.add(fmt.Sprint("zz", changes))) // of what the readers are in the middle of
		most = max(most, resident(t, m.Process))
	}
	t.Logf("the slowest of %d changes took %s; %d MiB before, %d at most", changes, slowest, before, most)
	if slowest > soon {
		t.Errorf("a change took %s", slowest)
	}
	if most > 2*before+128 && !raced {
		t.Errorf("the master had %d MiB, %d before", most, before)
	}
}
