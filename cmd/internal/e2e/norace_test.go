//go:build linux && !race

package e2e

var buildFlags []string

// raced says that everything is several times as slow.
const raced = false
