package books_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// BenchmarkCheckInvariants checks b.N payments with five events each: -benchtime 1000000x for a
// large store.
func BenchmarkCheckInvariants(b *testing.B) {
	bundle := setup(b)
	bundle.fill(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	report, err := books.CheckInvariants(b.Context(), bundle.Serving, books.CheckOptions{Now: start()})
	if err != nil || !report.Clean() {
		b.Fatal(report, err)
	}
	b.ReportMetric(float64(report.Payments)/b.Elapsed().Seconds(), "payments/s")
	b.ReportMetric(float64(report.Events)/float64(report.Payments), "events/payment")
}

// BenchmarkTakeCheckpoint covers b.N payments with five events each, as a taker does that was away:
// -benchtime 100000x.
func BenchmarkTakeCheckpoint(b *testing.B) {
	bundle := setup(b)
	bundle.fill(b.N)
	mark, err := books.MarkCheckpoint(b.Context(), bundle.Serving)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.ResetTimer()
	var events int64
	for {
		c, err := books.TakeCheckpoint(b.Context(), bundle.Serving, mark, start())
		if err != nil {
			b.Fatal(err)
		}
		if c.Number == 0 {
			break
		}
		events += c.Events
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(events), "µs/event")
}
