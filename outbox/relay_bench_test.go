package outbox_test

import (
	"fmt"
	"testing"

	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// BenchmarkRelay relays a backlog: one op is one row, from the table to the stream and out of the
// table. Appending is not in the measure. Run it with -benchtime=100000x or so; the first batches
// pay for the connections.
func BenchmarkRelay(b *testing.B) {
	bundle := setup(b)
	fill(b, bundle, b.N)
	b.ReportAllocs()
	b.ResetTimer()
	relay := bundle.relay(outbox.RelayConfig{})
	servers.Eventually(b, "all rows are published", func() bool { return relay.Stats().Published == int64(b.N) })
	relay.stop()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkAppend appends one message in a transaction of its own, and a hundred.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) {
			bundle := setup(b)
			msgs := events(n, 1)
			b.ReportAllocs()
			for b.Loop() {
				bundle.append(msgs...)
			}
		})
	}
}

// fill appends n messages of 400 bytes, ten of each key.
func fill(b *testing.B, bundle *bundle, n int) {
	b.Helper()
	body := make([]byte, 400)
	const chunk = 1000
	for from := 0; from < n; from += chunk {
		msgs := make([]outbox.Message, 0, chunk)
		for i := from; i < min(from+chunk, n); i++ {
			m := event(fmt.Sprintf("pay-%d", i/10), i%10)
			m.Payload = body
			msgs = append(msgs, m)
		}
		bundle.append(msgs...)
	}
}
