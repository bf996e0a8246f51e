package store_test

import (
	"runtime"
	"testing"

	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// BenchmarkCommit takes payments through both their changes, 512 at a time: b.N counts payments.
func BenchmarkCommit(b *testing.B) {
	bundle := setup(b)
	b.ReportAllocs()
	b.SetParallelism(512 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			paymentID := newID()
			cmd := create(paymentID, paymentID.String(), "")
			p := &payment.Payment{}
			d := payment.Decide(p, cmd, env(start()))
			if err := bundle.store.Commit(b.Context(), change(p, d, claimOf(cmd, d))); err != nil {
				b.Error(err)
				return
			}
			settled := payment.Settle(d.Payment, cmd, *d.Call, succeeded(), env(start()))
			if err := bundle.store.Commit(b.Context(), change(d.Payment, settled, nil)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

// BenchmarkLoad reads one payment again and again, 512 at a time.
func BenchmarkLoad(b *testing.B) {
	bundle := setup(b)
	cmd := create(newID(), "k", "")
	bundle.handle(cmd, succeeded(), start())
	key := keyOf(cmd)
	b.ReportAllocs()
	b.SetParallelism(512 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := bundle.store.Load(b.Context(), key); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkCheckInvariants checks b.N payments with five events each: -benchtime 1000000x for a large store.
func BenchmarkCheckInvariants(b *testing.B) {
	bundle := setup(b)
	bundle.fill(b.N)
	b.ReportAllocs()
	b.ResetTimer()
	report, err := store.CheckInvariants(b.Context(), bundle.serving, store.CheckOptions{Now: start()})
	if err != nil || !report.Clean() {
		b.Fatal(report, err)
	}
	b.ReportMetric(float64(report.Payments)/b.Elapsed().Seconds(), "payments/s")
	b.ReportMetric(float64(report.Events)/float64(report.Payments), "events/payment")
}
