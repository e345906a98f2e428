//go:build linux && race

package main

// buildFlags build the programs as the tests are built, and slowness is how much
// longer all may take.
var buildFlags = []string{"-race"}

const slowness = 3
