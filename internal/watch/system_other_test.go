//go:build !linux

package watch

import (
	"os"
	"testing"
	"time"
)

// exchange lets two things trade places, one after the other.
func exchange(p, q string) {
	os.Rename(p, p+".t")
	os.Rename(q, p)
	os.Rename(p+".t", q)
}

// processTime is not known here.
func processTime(testing.TB) time.Duration { return 0 }
