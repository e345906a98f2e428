//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// curve is how one figure of a row grows.
type curve struct {
	name   string
	unit   unit
	points []xy // what was measured
	peer   []xy // the reference's
}

// curves are the figures of a row along a growth, in the row's order.
func (r *report) curves(w *row, g growth) (all []curve) {
	for _, p := range g.points {
		f, ok := r.find(w, p)
		if !ok {
			continue
		}
		for _, fig := range f.figures {
			i := slices.IndexFunc(all, func(c curve) bool { return c.name == fig.name })
			if i < 0 {
				i = len(all)
				all = append(all, curve{name: fig.name, unit: fig.unit})
			}
			x := float64(g.over.of(p))
			all[i].points = append(all[i].points, xy{x, fig.value})
			if fig.reference != 0 {
				all[i].peer = append(all[i].peer, xy{x, fig.reference})
			}
		}
	}
	return all
}

// exponent is the power of the size that the curve grows like, from its first
// point to its last: 0 for not at all, 1 for in proportion.
func exponent(points []xy) (e float64, ok bool) {
	if len(points) < 2 {
		return 0, false
	}
	first, last := points[0], points[len(points)-1]
	if first.y <= 0 || last.y <= 0 || first.x == last.x {
		return 0, false
	}
	return math.Log(last.y/first.y) / math.Log(last.x/first.x), true
}

// table is the curves in Markdown, a column for each size.
func curveTable(over axis, all []curve) string {
	var xs []float64
	for _, c := range all {
		for _, p := range c.points {
			xs = append(xs, p.x)
		}
	}
	slices.Sort(xs)
	xs = slices.Compact(xs)
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |", over)
	for _, x := range xs {
		fmt.Fprintf(&b, " %s |", count(int(x)))
	}
	b.WriteString(" grows like |\n| --- |" + strings.Repeat(" ---: |", len(xs)+1) + "\n")
	for _, c := range all {
		curveLine(&b, c.label(), c.unit, c.points, xs)
		if len(c.peer) > 0 {
			curveLine(&b, c.label()+", the reference", c.unit, c.peer, xs)
		}
	}
	return b.String()
}

func (c curve) label() string {
	if c.name == "" {
		return "measured"
	}
	return c.name
}

func curveLine(b *strings.Builder, name string, u unit, points []xy, xs []float64) {
	fmt.Fprintf(b, "| %s |", name)
	for _, x := range xs {
		i := slices.IndexFunc(points, func(p xy) bool { return p.x == x })
		if i < 0 {
			b.WriteString(" |")
			continue
		}
		fmt.Fprintf(b, " %s |", u.format(points[i].y))
	}
	if e, ok := exponent(points); ok {
		fmt.Fprintf(b, " n^%.2f", e)
	}
	b.WriteString(" |\n")
}

// plots draws the curves, those of one unit together.
func plots(title string, over axis, reference string, all []curve) map[unit]plot {
	out := map[unit]plot{}
	for _, c := range all {
		if len(c.points) < 2 || c.unit == times {
			continue
		}
		p := out[c.unit]
		p.title, p.x, p.format = title, string(over), c.unit.format
		p.lines = append(p.lines, line{name: c.label(), points: positive(c.points)})
		if len(c.peer) > 1 {
			p.lines = append(p.lines, line{name: c.label() + ": " + reference, dashed: true, points: positive(c.peer)})
		}
		out[c.unit] = p
	}
	return out
}

// positive drops what a logarithmic axis cannot show.
func positive(points []xy) []xy {
	return slices.DeleteFunc(slices.Clone(points), func(p xy) bool { return p.x <= 0 || p.y <= 0 })
}
