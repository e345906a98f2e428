//go:build linux

package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// unit is what a figure is counted in.
type unit string

const (
	seconds      unit = "s"
	bytesPerSec  unit = "B/s"
	bytesPerFile unit = "B a file"
	byteCount    unit = "B"
	ofOneCore    unit = "of one core"
	times        unit = "×"
)

// format writes a number of the unit for people.
func (u unit) format(v float64) string {
	switch u {
	case seconds:
		return duration(v)
	case bytesPerSec:
		return scaled(v, 1000, "B/s", "kB/s", "MB/s", "GB/s")
	case byteCount:
		return scaled(v, 1024, "B", "KiB", "MiB", "GiB")
	case ofOneCore:
		return digits(100*v) + " %"
	case times:
		return digits(v) + " ×"
	}
	return digits(v) + " " + string(u)
}

func duration(s float64) string {
	switch {
	case s < 1e-3:
		return digits(s*1e6) + " µs"
	case s < 1:
		return digits(s*1e3) + " ms"
	}
	return digits(s) + " s"
}

func scaled(v, step float64, names ...string) string {
	i := 0
	for ; v >= step && i < len(names)-1; i++ {
		v /= step
	}
	return digits(v) + " " + names[i]
}

// digits writes a number with three digits that count.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.001:
		return strconv.FormatFloat(v, 'f', 2-int(math.Floor(math.Log10(a)))-1, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// count writes a whole number with commas.
func count(n int) string {
	s := strconv.Itoa(n)
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// String is what must be reached, for people.
func (b bound) in(u unit) string {
	if b == (bound{}) {
		return ""
	}
	limit := u.format(b.limit)
	if b.relative {
		limit = digits(b.limit) + " ×"
		if b.limit < 0.1 {
			limit = fmt.Sprintf("1/%s", digits(1/b.limit))
		}
	}
	if b.least {
		return "≥ " + limit
	}
	return "≤ " + limit
}
