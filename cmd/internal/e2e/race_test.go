//go:build linux && race

package e2e

// buildFlags build the programs as the tests are built: a data race in them is
// then a stray line in their log, and fails the test.
var buildFlags = []string{"-race"}

// raced says that everything is several times as slow.
const raced = true
