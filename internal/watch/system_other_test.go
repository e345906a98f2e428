//go:build !linux

package watch

import (
	"errors"
	"os"
	"testing"
	"time"
)

// exchange lets two things trade places, one after the other.
func exchange(p, q string) error {
	return errors.Join(os.Rename(p, p+".t"), os.Rename(q, p), os.Rename(p+".t", q))
}

// processTime is not known here.
func processTime(testing.TB) time.Duration { return 0 }
