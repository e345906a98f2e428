// Package load plays scouts that watch no disk: each speaks the real protocol
// and shows the names that it was given. Thousands of them fit in a process.
//
// It knows sessions and names, and nothing of what is measured with them.
package load
