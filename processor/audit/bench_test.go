package audit_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
)

func TestMain(m *testing.M) { os.Exit(servers.Main(m)) }

// benchPayments is the number of payments that BenchmarkBus compares, with four events each of
// about 400 bytes.
const benchPayments = 50_000

// fillSQL makes histories that look like events to everyone but a payment.
const fillSQL = `
INSERT INTO payment_events (payment_id, version, occurred_at, type, traceparent, data)
SELECT p.id, v, '2026-01-01', 'payment.captured', '', json_build_object(
    'payment_id', p.id, 'tenant', 'acme', 'version', v, 'type', 'payment.captured', 'status', 'captured',
    'occurred_at', '2026-01-01T00:00:00.000000Z', 'correlation_id', p.id, 'causation_id', 'create:' || p.id, 'filler', repeat('x', 80))
FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::int)) p, generate_series(1, 4) v`

func BenchmarkBus(b *testing.B) {
	pool, err := pgxpool.New(b.Context(), storetest.Database(b))
	must(b, err)
	b.Cleanup(pool.Close)
	_, err = pool.Exec(b.Context(), fillSQL, benchPayments)
	must(b, err)
	_, err = pool.Exec(b.Context(), `ANALYZE payment_events`)
	must(b, err)
	js, err := bus.JetStream(servers.NATS(b).Connect(b), 0)
	must(b, err)
	_, err = bus.Provision(b.Context(), js, bus.StreamOptions{}, bus.ProvisionOptions{})
	must(b, err)
	publishAll(b, pool, js)
	b.ResetTimer()
	for b.Loop() {
		report, err := audit.Bus(b.Context(), pool, js, audit.BusOptions{})
		must(b, err)
		if !report.Clean() || report.Messages != 4*benchPayments || report.Committed != report.Messages {
			b.Fatalf("found %+v", report)
		}
	}
	b.ReportMetric(float64(4*benchPayments*b.N)/b.Elapsed().Seconds(), "messages/s")
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func publishAll(b *testing.B, pool *pgxpool.Pool, js jetstream.JetStream) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	rows, err := pool.Query(ctx, `SELECT payment_id::text, payment_id || ':' || version, data::text FROM payment_events ORDER BY version`)
	must(b, err)
	for rows.Next() {
		var paymentID, messageID, body string
		must(b, rows.Scan(&paymentID, &messageID, &body))
		_, err := js.PublishMsgAsync(&nats.Msg{
			Subject: "payments.evt.acme.payment.captured." + paymentID, Data: []byte(body),
			Header: nats.Header{
				messages.HeaderMessageID: {messageID}, messages.HeaderCESpecVersion: {"1.0"}, messages.HeaderCEID: {messageID},
				messages.HeaderCEType: {"tender.payment.captured.v1"}, messages.HeaderCESubject: {paymentID},
				messages.HeaderCETime: {"2026-01-01T00:00:00.000000Z"}, messages.HeaderContentType: {"application/json"},
			},
		})
		must(b, err)
	}
	must(b, rows.Err())
	<-js.PublishAsyncComplete()
}
