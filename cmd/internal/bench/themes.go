//go:build linux

package main

// themes are all rows, in the order of the report. Rows of one theme share what
// is set up for a point.
var themes = [][]row{scanRows, freshRows, burstRows, wireRows, serveRows, interleavedRows, manyRows, fleetRows}
