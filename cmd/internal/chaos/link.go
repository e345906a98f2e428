//go:build linux

package main

import "time"

// condition is what a connection suffers from.
type condition struct {
	cut    bool // every connection is broken, and new ones too
	silent bool // nothing gets from the scout to the master
	deaf   bool // nothing gets from the master to the scout
	delay  time.Duration
	rate   int // bytes per second; 0: as fast as it goes
}

// link is a scout's way to the master.
type link interface {
	// address is where the scout finds the master.
	address() string
	// set puts the link into a condition. Once it returns, that is so.
	set(c condition) error
	// enter is what a command has to begin with to use the link.
	enter() []string
	// cuts reports whether the link can be cut, rather than only be silent.
	cuts() bool
	close()
}
