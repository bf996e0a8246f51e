package bench

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
)

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

// SVG draws the distributions as a picture: latencies upwards, on a logarithmic axis, percentiles to the right, each nine as wide as
// the one before.
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
