//go:build linux

package main

// peers are references that this program plays itself, each in a process of its
// own: the first argument names one.
var peers = map[string]func(args []string) error{
	"glance":  glance,
	"strings": holdStrings,
	"streams": serveStreams,
}
