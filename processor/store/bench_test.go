package store_test

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/processor/payment"
)

// BenchmarkCommit takes payments through both their changes, 512 at a time: b.N counts payments.
func BenchmarkCommit(b *testing.B) { benchmarkCommit(b, 512/runtime.GOMAXPROCS(0)) }

// BenchmarkCommitAlone takes one payment after the other through both its changes, each in a
// transaction of its own.
func BenchmarkCommitAlone(b *testing.B) { benchmarkCommit(b, 0) }

// benchmarkCommit does so with that many at once for each processor, or with one in all.
func benchmarkCommit(b *testing.B, atOnce int) {
	bundle := setup(b)
	one := func() error {
		paymentID := newID()
		cmd := create(paymentID, paymentID.String(), "")
		p := &payment.Payment{}
		d := payment.Decide(p, cmd, env(start()))
		if err := bundle.Store.Commit(b.Context(), change(p, d, claimOf(cmd, d))); err != nil {
			return err
		}
		settled := payment.Settle(d.Payment, cmd, *d.Call, succeeded(), env(start()))
		return bundle.Store.Commit(b.Context(), change(d.Payment, settled, nil))
	}
	b.ReportAllocs()
	b.ResetTimer()
	if atOnce == 0 {
		for b.Loop() {
			if err := one(); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.SetParallelism(atOnce)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := one(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
}

// BenchmarkLoad reads one payment again and again, 512 at a time.
func BenchmarkLoad(b *testing.B) {
	bundle := setup(b)
	cmd := create(newID(), "k", "")
	bundle.Handle(cmd, succeeded(), start())
	key := keyOf(cmd)
	b.ReportAllocs()
	b.SetParallelism(512 / runtime.GOMAXPROCS(0))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := bundle.Store.Load(b.Context(), key); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkWriteEvents writes the same batches of events into the partitioned table and into one
// with the same columns and key in one piece, as it was before: b.N counts batches of 256 events.
func BenchmarkWriteEvents(b *testing.B) {
	bundle := setup(b)
	bundle.Exec(`CREATE SCHEMA plain;
		CREATE TABLE plain.payment_events (
			payment_id uuid NOT NULL, version bigint NOT NULL, occurred_at timestamptz NOT NULL, type text NOT NULL,
			traceparent text NOT NULL, data json NOT NULL, PRIMARY KEY (payment_id, version), CHECK (version > 0))`)
	insert, err := os.ReadFile("queries/write_events.sql")
	if err != nil {
		b.Fatal(err)
	}
	for _, table := range []struct{ name, path string }{{"plain", "plain"}, {"partitioned", "public"}} {
		b.Run(table.name, func(b *testing.B) {
			conn := bundle.Connect()
			if _, err := conn.Exec(b.Context(), `SELECT set_config('search_path', $1, false)`, table.path); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				arguments := eventBatch(256)
				b.StartTimer()
				if _, err := conn.Exec(b.Context(), string(insert), arguments...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(256*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// eventBatch is the arguments of write_events.sql for n new payments of one event each.
func eventBatch(n int) []any {
	ids, versions, times := make([]string, n), make([]int64, n), make([]time.Time, n)
	types, parents, bodies := make([]string, n), make([]string, n), make([]string, n)
	body := `{"note":"` + strings.Repeat("x", 600) + `"}`
	for i := range n {
		ids[i], versions[i], times[i] = newID().String(), 1, start()
		types[i], parents[i], bodies[i] = "payment.captured", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", body
	}
	return []any{ids, versions, times, types, parents, bodies}
}
