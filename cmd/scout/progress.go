package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"scout/internal/files"
)

const (
	// progressEvery is how often the status line is updated during the first scan.
	progressEvery = 200 * time.Millisecond
	// quickScan is the time of a scan below which no progress is shown.
	quickScan = 500 * time.Millisecond
)

// showScan shows the progress of the first scan until the scan or ctx is done.
// The log has the result.
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

// progress describes a scan in one line. It returns "" if no scan is going on;
// the log says why.
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
