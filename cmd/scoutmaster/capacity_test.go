package main

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

func TestCapacity(t *testing.T) {
	for files, want := range map[int]capacity{
		0:         {1, 1},
		64:        {48, 8},
		1024:      {768, 128},
		20_000:    {15_000, 2500},
		1 << 20:   {1<<20 - 2*4096, 4096},
		1<<31 - 1: {1<<31 - 1 - 2*4096, 4096},
	} {
		if got := newCapacity(files); got != want {
			t.Errorf("of %d files: %+v, not %+v", files, got, want)
		}
	}
}

// Connections beyond the bound are closed at once, and logged together; when
// others have closed there is room again.
func TestBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	b := bound(l, 2, zap.New(core))
	defer b.Close()
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			conn, err := b.Accept()
			if err != nil {
				return
			}
			accepted <- conn
		}
	}()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	for range 3 {
		dial()
		first := <-accepted
		dial()
		second := <-accepted
		for range 5 {
			refused := dial()
			refused.SetReadDeadline(time.Now().Add(time.Minute))
			if _, err := refused.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("a connection beyond the bound: %v", err)
			} else if !errors.Is(err, io.EOF) {
				t.Logf("refused with %v", err)
			}
		}
		first.Close()
		first.Close()
		second.Close()
	}
	if n := logs.FilterMessage("connections refused").Len(); n != 1 {
		t.Errorf("logged %d times in a moment", n)
	}
}
