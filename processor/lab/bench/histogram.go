package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram counts durations, from a microsecond to five minutes, exact to three digits. It is for
// one goroutine at a time.
type Histogram struct{ h *hdrhistogram.Histogram }

// histogramMax is the longest duration that is told from longer ones.
const histogramMax = 5 * time.Minute

// NewHistogram returns an empty one.
func NewHistogram() *Histogram {
	return &Histogram{hdrhistogram.New(1, histogramMax.Microseconds(), 3)}
}

// Record counts a duration.
func (h *Histogram) Record(d time.Duration) {
	within := min(max(d.Microseconds(), 1), histogramMax.Microseconds())
	if err := h.h.RecordValue(within); err != nil {
		panic("bench: a duration within the bounds of its histogram is refused: " + err.Error())
	}
}

// Count returns the number of durations.
func (h *Histogram) Count() int { return int(h.h.TotalCount()) }

// At returns the duration at a percentile, 0 for an empty histogram.
func (h *Histogram) At(percentile float64) time.Duration {
	return time.Duration(h.h.ValueAtPercentile(percentile)) * time.Microsecond
}

// Describe fills in the percentiles and the curve of a report.
func (h *Histogram) Describe(l *Latency) {
	l.P50, l.P90, l.P99, l.P999 = millis(h.At(50)), millis(h.At(90)), millis(h.At(99)), millis(h.At(99.9))
	l.Max = millis(h.At(100))
	l.Curve = make([]Point, 0, len(curvePercentiles()))
	for _, p := range curvePercentiles() {
		l.Curve = append(l.Curve, Point{p, millis(h.At(p))})
	}
}

func curvePercentiles() []float64 {
	return []float64{1, 10, 25, 50, 75, 90, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.95, 99.99, 100}
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
