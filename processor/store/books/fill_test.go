package books_test

import (
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
)

// templates are payments as a shop has them: decided and settled by the core, committed by the
// store. What is still in the outbox of them is published.
func (b *bundle) templates() []uuid.UUID {
	b.Helper()
	captured, inParts, refunded, authorized, declined := newID(), newID(), newID(), newID(), newID()
	b.Handle(create(captured, captured.String(), ""), succeeded(), start())
	b.Handle(create(inParts, inParts.String(), messages.CaptureManual), succeeded(), start())
	b.Handle(command(inParts, inParts.String(), &messages.Capture{AmountMinor: amount(4000)}), succeeded(), start())
	b.Handle(command(inParts, inParts.String()+"b", &messages.Capture{AmountMinor: amount(6000)}), succeeded(), start())
	b.Handle(create(refunded, refunded.String(), ""), succeeded(), start())
	b.Handle(command(refunded, refunded.String(), &messages.Refund{AmountMinor: amount(2500)}), succeeded(), start())
	b.Handle(create(authorized, authorized.String(), messages.CaptureManual), succeeded(), start())
	b.Handle(create(declined, declined.String(), ""), messages.Outcome{
		Kind: messages.OutcomeDeclined, Tries: 1, Decline: &messages.Decline{Code: "insufficient_funds"},
	}, start())
	b.Exec(`DELETE FROM outbox`)
	return []uuid.UUID{captured, captured, inParts, inParts, inParts, refunded, refunded, refunded, authorized, declined}
}

// fill stores n payments with rising ids by copying templates under other ids, which is some
// hundred times faster than to decide and commit each. The templates themselves are part of the
// store, too.
func (b *bundle) fill(n int) {
	b.Helper()
	for _, statement := range []string{
		`CREATE TABLE template (place bigint PRIMARY KEY, payment_id uuid NOT NULL)`,
		`CREATE TABLE copy (payment_id uuid PRIMARY KEY, of uuid NOT NULL)`,
	} {
		b.Exec(statement)
	}
	for place, paymentID := range b.templates() {
		b.Exec(`INSERT INTO template VALUES ($1, $2)`, place, paymentID)
	}
	b.Exec(`INSERT INTO copy
		SELECT ('0198' || lpad(to_hex(i / 4096), 8, '0') || '7' || lpad(to_hex(i % 4096), 3, '0') || '8' || substr(md5(i::text), 1, 15))::uuid, t.payment_id
		FROM generate_series(1, $1::bigint) i JOIN template t ON t.place = i % (SELECT count(*) FROM template)`, n)
	const hash = `encode(sha256(convert_to(q.traceparent || E'\n' || q.data::text, 'UTF8')), 'hex')`
	for version := range b.Count(`SELECT max(version) FROM payment_events`) {
		b.Exec(`INSERT INTO payment_events
			SELECT c.payment_id, e.version, e.occurred_at, e.type, e.traceparent, replace(
				replace(e.data::text, c.of::text, c.payment_id::text), COALESCE(e.data ->> 'previous_hash', '-'), COALESCE(`+hash+`, '-'))::json
			FROM copy c JOIN payment_events e ON e.payment_id = c.of AND e.version = $1
			LEFT JOIN payment_events q ON q.payment_id = c.payment_id AND q.version = $1 - 1
			ORDER BY c.payment_id`, version+1)
	}
	b.Exec(`INSERT INTO payments
		SELECT r.* FROM copy c JOIN payments p ON p.payment_id = c.of
		JOIN payment_events q ON q.payment_id = c.payment_id AND q.version = p.version
		CROSS JOIN LATERAL json_populate_record(p, json_build_object('payment_id', c.payment_id,
			'state', replace(replace(p.state::text, c.of::text, c.payment_id::text), p.state ->> 'last_hash', ` + hash + `)::json,
			'merchant_reference', replace(p.merchant_reference, c.of::text, c.payment_id::text))) r
		ORDER BY c.payment_id`)
	b.Exec(`INSERT INTO commands
		SELECT k.tenant, k.command, replace(k.idempotency_key, c.of::text, c.payment_id::text), k.conflict_hash, k.payload_hash,
			c.payment_id, k.version, replace(k.operation_id, c.of::text, c.payment_id::text), k.outcome, k.created_at
		FROM copy c JOIN commands k ON k.payment_id = c.of ORDER BY c.payment_id`)
	b.Exec(`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at, fired)
		SELECT c.payment_id, t.kind, t.tenant, t.due_at, t.fire_at, t.fired FROM copy c JOIN timers t ON t.payment_id = c.of`)
	b.Exec(`DROP TABLE template, copy`)
	for _, table := range []string{"payments", "payment_events", "commands", "timers"} {
		b.Exec(`VACUUM ANALYZE ` + table)
	}
}
