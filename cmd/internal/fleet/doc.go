// Package fleet runs the real programs for tests, the demo and benchmarks: it
// starts scoutmasters and scouts as processes, reads their logs, and asks for
// their list as any consumer would.
package fleet
