package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// plotWidth is the number of columns of the axis in the text plot.
const plotWidth = 72

// axis is logarithmic, from one power of ten to another.
type axis struct{ low, high float64 }

// axisOf spans all latencies, and at least one decade. Zero lies at its beginning.
func axisOf(all []Latency) axis {
	lowest, highest := math.Inf(1), 0.0
	for i := range all {
		for _, p := range all[i].Curve {
			if p.Millis > 0 {
				lowest, highest = min(lowest, p.Millis), max(highest, p.Millis)
			}
		}
	}
	if highest == 0 {
		return axis{-1, 0}
	}
	// A histogram rounds up a little, which is no reason for another decade.
	const little = 0.005
	a := axis{math.Floor(math.Log10(lowest) + little), math.Ceil(math.Log10(highest) - little)}
	a.high = max(a.high, a.low+1)
	return a
}

// at returns the position of a latency, between 0 and 1.
func (a axis) at(ms float64) float64 {
	if ms <= 0 {
		return 0
	}
	return min(max((math.Log10(ms)-a.low)/(a.high-a.low), 0), 1)
}

// decades are the powers of ten on the axis, in milliseconds.
func (a axis) decades() []float64 {
	var all []float64
	for exponent := a.low; exponent <= a.high; exponent++ {
		all = append(all, math.Pow(10, exponent))
	}
	return all
}

func axisLabel(ms float64) string {
	return time.Duration(math.Round(ms * float64(time.Millisecond))).String()
}

// Plot draws the distributions as text: a line for each percentile, a mark on it for each
// measurement, on a logarithmic axis.
func Plot(w io.Writer, all []Latency) error {
	a := axisOf(all)
	var b strings.Builder
	b.WriteString("percentile  " + a.heading() + "\n")
	if len(all) > 0 {
		for i, point := range all[0].Curve {
			line := []rune(strings.Repeat("·", plotWidth+1))
			for m := range all {
				place := int(math.Round(a.at(all[m].Curve[i].Millis) * plotWidth))
				line[place] = mark(m)
			}
			fmt.Fprintf(&b, "%9.2f%%  %s\n", point.Percentile, string(line))
		}
	}
	for m := range all {
		fmt.Fprintf(&b, "%12c at %s (%.0f payments/s)\n", mark(m), all[m].Name, all[m].PerSecond)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mark returns the letter of a measurement. It hides another mark in the same place.
func mark(m int) rune { return rune('a' + m%26) }

// heading is the labels of the axis, each above its place.
func (a axis) heading() string {
	line := []rune(strings.Repeat(" ", plotWidth+10))
	for _, ms := range a.decades() {
		copy(line[int(math.Round(a.at(ms)*plotWidth)):], []rune(axisLabel(ms)))
	}
	return strings.TrimRight(string(line), " ")
}

// The picture, in its own units.
const (
	svgWidth, svgHeight                    = 860.0, 460.0
	svgLeft, svgRight, svgTop, svgBottom   = 70.0, 20.0, 40.0, 60.0
	svgPlotWidth                           = svgWidth - svgLeft - svgRight
	svgPlotHeight                          = svgHeight - svgTop - svgBottom
	svgPercentileMax                       = 99.99 // the longest of all is drawn there
	svgText                                = `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>` + "\n"
	svgLine                                = `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#ddd"/>` + "\n"
	svgHead                                = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="12">` + "\n"
	svgBackground                          = `<rect width="100%" height="100%" fill="white"/>` + "\n"
	svgCurve                               = `<polyline fill="none" stroke="%s" stroke-width="2" points="%s"/>` + "\n"
	svgTitle                               = "Latency from publish to payment.captured"
	svgTitlePlace, svgAxisTitlePlace       = 20.0, 18.0
	svgLegendLeft, svgLegendTop, svgLegend = 20.0, 16.0, 18.0
)

// SVG draws the distributions as a picture: latencies upwards on a logarithmic axis, percentiles
// to the right, with equal width for each nine.
func SVG(w io.Writer, all []Latency) error {
	var b strings.Builder
	a := axisOf(all)
	fmt.Fprintf(&b, svgHead, svgWidth, svgHeight)
	b.WriteString(svgBackground)
	fmt.Fprintf(&b, svgText, svgWidth/2, svgTitlePlace, "middle", svgTitle)
	for _, ms := range a.decades() {
		y := svgY(a, ms)
		fmt.Fprintf(&b, svgLine, svgLeft, y, svgLeft+svgPlotWidth, y)
		fmt.Fprintf(&b, svgText, svgLeft-6, y+4, "end", axisLabel(ms))
	}
	for _, percentile := range []float64{0, 50, 90, 99, 99.9, svgPercentileMax} {
		x := svgX(percentile)
		fmt.Fprintf(&b, svgLine, x, svgTop, x, svgTop+svgPlotHeight)
		fmt.Fprintf(&b, svgText, x, svgTop+svgPlotHeight+svgAxisTitlePlace, "middle", fmt.Sprintf("%v%%", percentile))
	}
	for m := range all {
		points := make([]string, 0, len(all[m].Curve))
		for _, p := range all[m].Curve {
			points = append(points, fmt.Sprintf("%.1f,%.1f", svgX(p.Percentile), svgY(a, p.Millis)))
		}
		fmt.Fprintf(&b, svgCurve, svgColor(m), strings.Join(points, " "))
		fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" fill="%s">%s (%.0f/s)</text>`+"\n", svgLeft+svgLegendLeft,
			svgTop+svgLegendTop+svgLegend*float64(m), svgColor(m), html.EscapeString(all[m].Name), all[m].PerSecond)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func svgX(percentile float64) float64 {
	nines := -math.Log10(1 - min(percentile, svgPercentileMax)/100)
	return svgLeft + svgPlotWidth*nines/-math.Log10(1-svgPercentileMax/100)
}

func svgY(a axis, ms float64) float64 { return svgTop + svgPlotHeight*(1-a.at(ms)) }

func svgColor(m int) string {
	colors := []string{"#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e"}
	return colors[m%len(colors)]
}
