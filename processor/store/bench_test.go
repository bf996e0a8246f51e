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

// BenchmarkCheckInvariants checks a thousand payments, two events each.
func BenchmarkCheckInvariants(b *testing.B) {
	bundle := setup(b)
	bundle.commitMany(1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := store.CheckInvariants(b.Context(), bundle.serving, store.CheckOptions{Now: start()}); err != nil {
			b.Fatal(err)
		}
	}
}
