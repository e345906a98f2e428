//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"scout/cmd/internal/testfleet"
	"scout/internal/files/filestest"
)

// masterMemory is what a master holds that has served its list.
func masterMemory(m mix) func(context.Context, *lab, point) (result, error) {
	return func(ctx context.Context, l *lab, p point) (res result, err error) {
		s, err := l.staged(ctx, p, m)
		if err != nil {
			return res, err
		}
		plain, err := s.residentAfter(ctx, l, "")
		if err != nil {
			return res, err
		}
		packed, err := s.residentAfter(ctx, l, acceptGzip)
		if err != nil {
			return res, err
		}
		peak, err := s.pid.peak()
		if err != nil {
			return res, err
		}
		strs, err := l.stringsMemory(ctx, p.files, m)
		if err != nil {
			return res, err
		}
		each := func(bytes int64) float64 { return float64(bytes) / float64(p.files) }
		res.add(
			figure{unit: bytesPerFile, value: each(plain), reference: each(strs), bound: atMost(30)},
			figure{name: "after serving it with gzip, too", unit: bytesPerFile, value: each(packed), reference: each(strs)},
		)
		res.note("It was %s, and %s at its peak, while the scouts were registering.",
			byteCount.format(float64(plain)), byteCount.format(float64(peak)))
		return res, nil
	}
}

// residentAfter is the master's memory after it has served its list.
func (s *stage) residentAfter(ctx context.Context, l *lab, header string) (int64, error) {
	r := request{addr: s.master.HTTP, path: "/files", header: header}
	if _, err := race(ctx, 3, nil, r); err != nil {
		return 0, err
	}
	pause(ctx, l.lasting(10*time.Second, 0))
	return s.pid.resident()
}

// stringsMemory is what a process holds that has the names as []string.
func (l *lab) stringsMemory(ctx context.Context, files int, m mix) (int64, error) {
	p, err := l.peerProcess(ctx, "strings", strconv.Itoa(files), m.name)
	if err != nil {
		return 0, err
	}
	defer p.Kill()
	if _, err := p.AwaitMsg(listTime, "ready"); err != nil {
		return 0, err
	}
	return pid(p.Process.Pid).resident()
}

// holdStrings is the process that has the names as []string, in as little as
// Go can have them.
func holdStrings(args []string) error {
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	shape := filestest.Apart
	if args[1] == interleaved.name {
		shape = filestest.Interleaved
	}
	names := make([]string, n)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range names {
		names[i] = strings.Clone(shape(i%100, i/100, r))
	}
	runtime.GC()
	debug.FreeOSMemory()
	say("ready", "")
	pause(context.Background(), listTime)
	runtime.KeepAlive(names)
	return nil
}

// peerProcess starts this program as one of its peers, which ends with the
// task.
func (l *lab) peerProcess(ctx context.Context, peer string, args ...string) (*testfleet.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p, err := testfleet.Start(self, append([]string{peer}, args...), nil)
	if err != nil {
		return nil, err
	}
	l.endWithTask(ctx, p)
	return p, nil
}

// say logs a line as the programs do.
func say(msg, addr string) { fmt.Fprintf(os.Stderr, "{\"msg\":%q,\"grpc\":%q}\n", msg, addr) }
