package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"scout/internal/files"
)

const (
	// progressEvery is how often a person is shown how far the first scan is.
	progressEvery = 200 * time.Millisecond
	// quickScan is how long a scan may take before it is worth a word.
	quickScan = 500 * time.Millisecond
)

// showScan shows how far the first scan is, until it is done or ctx is. The
// log says when it is done.
func showScan(ctx context.Context, view func() files.View, show func(string)) {
	defer show("")
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	began := time.Now()
	for v := view(); v.Set == nil; v = view() {
		show(progress(v, time.Since(began)))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// progress says in a line how far a scan is. Where there is none, it is for
// the log to say why.
func progress(v files.View, took time.Duration) string {
	if v.Scanned == 0 || took < quickScan {
		return ""
	}
	rate := int(float64(v.Scanned) / took.Seconds())
	return fmt.Sprintf("scanning: %s files, %s a second, %s", grouped(v.Scanned), grouped(rate), took.Truncate(time.Second))
}

// grouped is n with its digits in groups of three.
func grouped(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
