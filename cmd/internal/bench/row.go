//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// point is how much there is of what.
type point struct {
	files  int // in all
	scouts int // that have them, evenly; 0: one real scout, on a real directory
}

func (p point) String() string {
	switch {
	case p.scouts == 0:
		return count(p.files) + " files"
	case p.files == 0:
		return count(p.scouts) + " scouts"
	}
	return fmt.Sprintf("%s files of %s scouts", count(p.files), count(p.scouts))
}

// row is one thing that is measured, and its lines of the report.
type row struct {
	name      string
	reference string // what it is held against
	at        point  // the one that the bounds are for
	small     point  // the one in a short run
	growth    []growth
	how       string // one or two sentences for the report
	run       measurement
}

// measurement measures a row at a point.
type measurement func(ctx context.Context, l *lab, p point) (result, error)

// growth is a series of points that shows how a row's figures grow.
type growth struct {
	over   axis
	points []point
}

// axis is what grows along a series.
type axis string

const (
	overFiles  axis = "files"
	overScouts axis = "scouts"
)

func (a axis) of(p point) int {
	if a == overScouts {
		return p.scouts
	}
	return p.files
}

// result is what one run of a row found.
type result struct {
	figures []figure
	notes   []string // what was found besides, in a sentence each
}

func (r *result) add(f ...figure) { r.figures = append(r.figures, f...) }

func (r *result) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// figure is one number, beside that of the reference.
type figure struct {
	name      string // what of the row it is, or "" when it is all of it
	unit      unit
	value     float64
	reference float64 // 0: there is none
	bound     bound
}

// ratio is the value in terms of the reference, or 0.
func (f figure) ratio() float64 {
	if f.reference == 0 {
		return 0
	}
	return f.value / f.reference
}

func (f figure) String() string {
	if f.reference == 0 {
		return f.unit.format(f.value)
	}
	return fmt.Sprintf("%s against %s: %s ×", f.unit.format(f.value), f.unit.format(f.reference), digits(f.ratio()))
}

// bound is what a figure must reach. The zero bound is none.
type bound struct {
	given    bool
	limit    float64
	least    bool // the limit is the least, not the most
	relative bool // the limit is for the ratio to the reference
}

func atMost(limit float64) bound      { return bound{given: true, limit: limit} }
func atMostTimes(limit float64) bound { return bound{given: true, limit: limit, relative: true} }
func atLeast(limit float64) bound     { return bound{given: true, limit: limit, least: true} }
func atLeastTimes(limit float64) bound {
	return bound{given: true, limit: limit, relative: true, least: true}
}

// reached reports whether f is within its bound, if it has one that could be
// told.
func (f figure) reached() (ok, known bool) {
	if !f.bound.given || f.bound.relative && f.reference == 0 {
		return false, false
	}
	v := f.value
	if f.bound.relative {
		v = f.ratio()
	}
	if f.bound.least {
		return v >= f.bound.limit, true
	}
	return v <= f.bound.limit, true
}

// errSkipped is a row that cannot be measured on this machine.
var errSkipped = errors.New("skipped")

func skip(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errSkipped, fmt.Sprintf(format, args...))
}

// task is one run of a row.
type task struct {
	row   *row
	point point
}

// themes are all rows, in the order of the report. Rows of one theme share what
// is set up for a point.
var themes = [][]row{scanRows, freshRows, burstRows, wireRows, serveRows, interleavedRows, manyRows, fleetRows, sharedRows}

// tasks are the runs that were asked for. Those at one point are together, so
// that they can share what was set up for it.
func tasks(o options) []task {
	var all []task
	for _, theme := range themes {
		var some []task
		for i := range theme {
			r := &theme[i]
			if o.rows.MatchString(r.name) {
				some = append(some, r.tasks(o)...)
			}
		}
		slices.SortStableFunc(some, func(a, b task) int {
			return cmp.Or(cmp.Compare(a.point.files, b.point.files), cmp.Compare(a.point.scouts, b.point.scouts))
		})
		all = append(all, some...)
	}
	return all
}

func (r *row) tasks(o options) []task {
	points := []point{r.at}
	switch {
	case o.short:
		points[0] = r.small
	case o.growth:
		for _, g := range r.growth {
			points = append(points, g.points...)
		}
	}
	var all []task
	for i, p := range points {
		if !slices.Contains(points[:i], p) {
			all = append(all, task{r, p})
		}
	}
	return all
}

// unit is what a figure is counted in.
type unit string

const (
	seconds      unit = "s"
	bytesPerSec  unit = "B/s"
	bytesPerFile unit = "B a file"
	byteCount    unit = "B"
	ofOneCore    unit = "of one core"
	times        unit = "×"
	perSecond    unit = "a second"
	ofAll        unit = "of all"
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
	case ofOneCore, ofAll:
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

// in is what must be reached, for people.
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

// quantile returns the value below which the part q of all lie.
func quantile(all []float64, q float64) float64 {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func median(all []float64) float64 { return quantile(all, 0.5) }

// inSeconds lists durations in seconds.
func inSeconds(all []time.Duration) []float64 {
	s := make([]float64, len(all))
	for i, d := range all {
		s[i] = d.Seconds()
	}
	return s
}
