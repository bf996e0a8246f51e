package bench

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// plotWidth is how many columns the axis of the text plot takes.
const plotWidth = 72

// axis is logarithmic, from one power of ten to another.
type axis struct{ low, high float64 }

// axisOf spans all latencies, and a decade at least. Zero is put at its beginning.
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
	// What a histogram says is a little more than what was counted, which is no reason for another decade.
	const little = 0.005
	a := axis{math.Floor(math.Log10(lowest) + little), math.Ceil(math.Log10(highest) - little)}
	a.high = max(a.high, a.low+1)
	return a
}

// at is where a latency is, between 0 and 1.
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

// Plot draws the distributions as text: a line for each percentile, a mark on it for each measurement, on a logarithmic axis.
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

// mark tells the measurements apart. One that lies on another hides it.
func mark(m int) rune { return rune('a' + m%26) }

// heading is the labels of the axis, each above its place.
func (a axis) heading() string {
	line := []rune(strings.Repeat(" ", plotWidth+10))
	for _, ms := range a.decades() {
		copy(line[int(math.Round(a.at(ms)*plotWidth)):], []rune(axisLabel(ms)))
	}
	return strings.TrimRight(string(line), " ")
}
