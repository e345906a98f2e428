//go:build linux

package main

import (
	"bytes"
	"fmt"
	"html"
	"math"
	"slices"
)

// plot is a chart of lines over two logarithmic axes.
type plot struct {
	title  string
	x      string // what the horizontal axis counts
	format func(float64) string
	lines  []line
}

// line is one series of a plot.
type line struct {
	name   string
	dashed bool // it is a reference
	points []xy
}

// xy are coordinates, both above 0.
type xy struct{ x, y float64 }

// The plot's measures in pixels, and the colours of its lines.
const (
	plotWidth, plotHeight    = 720, 400
	plotLeft, plotRight      = 90, 20
	plotTop, plotBottom      = 40, 48
	legendStep, legendIndent = 18, 14
)

var lineColours = []string{"#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#b8860b", "#17becf"}

// Text and grid follow the reader's colour scheme.
const plotStyle = `<style>
text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-weight:600}.grid{stroke:#d0d7de}.paper{fill:#fff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#30363d}.paper{fill:#0d1117}}
</style>
`

// svg draws the plot.
func (p plot) svg() []byte {
	d := p.frame()
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">`+"\n", plotWidth, d.height)
	fmt.Fprintf(&b, "<title>%s</title>\n%s", html.EscapeString(p.title), plotStyle)
	fmt.Fprintf(&b, `<rect class="paper" width="%d" height="%d"/>`+"\n", plotWidth, d.height)
	text(&b, plotLeft, 24, "start", "title", p.title)
	d.grid(&b, p)
	for i, l := range p.lines {
		d.line(&b, l, i, colourOf(p.lines, i))
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// colourOf gives a reference the colour of the line before it.
func colourOf(lines []line, i int) string {
	solid := -1
	for _, l := range lines[:i+1] {
		if !l.dashed {
			solid++
		}
	}
	return lineColours[max(0, solid)%len(lineColours)]
}

// drawing maps powers of ten to pixels.
type drawing struct {
	left, right, bottom, top float64 // exponents at the edges
	height                   int
}

// frame chooses whole powers of ten around all points.
func (p plot) frame() drawing {
	d := drawing{math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1), plotHeight + legendStep*len(p.lines)}
	for _, l := range p.lines {
		for _, at := range l.points {
			x, y := math.Log10(at.x), math.Log10(at.y)
			d.left, d.right = math.Min(d.left, x), math.Max(d.right, x)
			d.bottom, d.top = math.Min(d.bottom, math.Floor(y)), math.Max(d.top, math.Ceil(y))
		}
	}
	if d.top == d.bottom {
		d.top++
	}
	if d.right == d.left {
		d.right++
	}
	return d
}

func (d drawing) at(p xy) (x, y float64) {
	x = plotLeft + (math.Log10(p.x)-d.left)/(d.right-d.left)*(plotWidth-plotLeft-plotRight)
	y = plotHeight - plotBottom - (math.Log10(p.y)-d.bottom)/(d.top-d.bottom)*(plotHeight-plotTop-plotBottom)
	return x, y
}

// grid draws a line at each power of ten on the left, and at each value that
// was measured below.
func (d drawing) grid(b *bytes.Buffer, p plot) {
	for e := d.bottom; e <= d.top; e++ {
		_, y := d.at(xy{1, math.Pow(10, e)})
		fmt.Fprintf(b, `<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", plotLeft, plotWidth-plotRight, y, y)
		text(b, plotLeft-8, y+4, "end", "", p.format(math.Pow(10, e)))
	}
	for _, v := range p.measuredAt() {
		x, _ := d.at(xy{v, 1})
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", x, x, plotTop, plotHeight-plotBottom)
		text(b, x, plotHeight-plotBottom+18, "middle", "", count(int(v)))
	}
	text(b, plotWidth-plotRight, plotHeight-plotBottom+36, "end", "", p.x)
}

// measuredAt lists the values on the horizontal axis.
func (p plot) measuredAt() (all []float64) {
	for _, l := range p.lines {
		for _, at := range l.points {
			all = append(all, at.x)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (d drawing) line(b *bytes.Buffer, l line, i int, colour string) {
	dash := ""
	if l.dashed {
		dash = ` stroke-dasharray="5 4"`
	}
	fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="2"%s points="`, colour, dash)
	for _, at := range l.points {
		x, y := d.at(at)
		fmt.Fprintf(b, "%.1f,%.1f ", x, y)
	}
	b.WriteString(`"/>` + "\n")
	for _, at := range l.points {
		x, y := d.at(at)
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x, y, colour)
	}
	y := float64(plotHeight + i*legendStep)
	fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="%s" stroke-width="2"%s/>`+"\n",
		plotLeft, plotLeft+2*legendIndent, y, y, colour, dash)
	text(b, plotLeft+3*legendIndent, y+4, "start", "", l.name)
}

func text(b *bytes.Buffer, x, y float64, anchor, class, s string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(s))
}
