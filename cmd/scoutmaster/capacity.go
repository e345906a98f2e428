package main

import (
	"math"

	"golang.org/x/sys/unix"
)

// Of the files that the process may open, consumers' connections may have
// 1/httpShare, and as many are reserved for everything else. Scouts' connections
// may have the rest. So neither can shut out the other.
const (
	httpShare = 8
	maxHTTP   = 4096
)

// capacity is how many connections each listener may have open.
type capacity struct{ grpc, http int }

// newCapacity divides a number of open files.
func newCapacity(files int) capacity {
	share := max(1, min(files/httpShare, maxHTTP))
	return capacity{grpc: max(1, files-2*share), http: share}
}

// openFiles is how many files the process may have open.
func openFiles() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return math.MaxInt32
	}
	return int(min(limit.Cur, math.MaxInt32))
}
