//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"
)

// report is what was found.
type report struct {
	options
	began      time.Time
	version    string
	machine    []string
	loadBefore string
	results    []finding
}

// finding is the outcome of one task.
type finding struct {
	task
	result
	err error // why there are no figures, or not all
}

func newReport(o options) *report {
	return &report{options: o, began: time.Now(), version: version(), machine: machine(o), loadBefore: loadAverage()}
}

func (r *report) took() time.Duration { return time.Since(r.began) }

func (r *report) add(t task, res result, err error) {
	r.results = append(r.results, finding{t, res, err})
}

// headline is the finding that a row's bounds are for.
func (r *report) headline(w *row) (finding, bool) {
	at := w.at
	if r.short {
		at = w.small
	}
	return r.find(w, at)
}

func (r *report) find(w *row, p point) (finding, bool) {
	for _, f := range r.results {
		if f.row == w && f.point == p {
			return f, true
		}
	}
	return finding{}, false
}

// table is all headlines, in Markdown.
func (r *report) table() string {
	var b strings.Builder
	b.WriteString("| what | reference | measured | reference's | ratio | bound | reached |\n")
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | :---: |\n")
	for w := range r.rows() {
		f, _ := r.headline(w)
		f.lines(&b, !r.short)
	}
	return b.String()
}

// lines writes a line of the table for each figure.
func (f finding) lines(b *strings.Builder, bounds bool) {
	if f.err != nil {
		fmt.Fprintf(b, "| %s: %s | %s | **not measured: %v** | | | | |\n", f.row.name, f.point, f.row.reference, f.err)
	}
	for i, g := range f.figures {
		what, reference := "… "+g.name, ""
		if i == 0 {
			what, reference = f.row.name+": "+f.point.String(), f.row.reference
			if g.name != "" {
				what += ": " + g.name
			}
		}
		cells := []string{what, reference, g.unit.format(g.value), "", "", "", ""}
		if g.reference != 0 {
			cells[3], cells[4] = g.unit.format(g.reference), digits(g.ratio())+" ×"
		}
		if ok, known := g.reached(); bounds && known {
			cells[5], cells[6] = g.bound.in(g.unit), map[bool]string{true: "yes", false: "**no**"}[ok]
		}
		fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | "))
	}
}
