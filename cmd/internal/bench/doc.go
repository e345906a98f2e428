// Command bench measures what Scout costs and how fast it is, each figure beside
// its reference, in the same run on the same machine:
//
//	go run ./cmd/internal/bench [-rows REGEXP] [-short] [-out docs/benchmarks.md]
//
// It runs the real programs. Where a figure is about one directory, that is a
// real one; where it is about a fleet, the scouts are played by this process
// (package load) and the scoutmaster is a process of its own, so that its memory
// and processor time are its own.
//
// A row of the report is a [row]: what it measures, at which [point], and how.
// It knows nothing of how Scout works inside.
package main
