package books_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// tampering is something done to a payment by the superuser, past all guards.
type tampering struct {
	sql  string // $1 is the payment
	of   func(storetest.Samples) uuid.UUID
	want books.Invariant
}

func tamperings() map[string]tampering {
	return map[string]tampering{
		"event removed":       {`DELETE FROM payment_events WHERE payment_id = $1 AND version = 2`, refunded, books.VersionsContiguous},
		"last event removed":  {`DELETE FROM payment_events WHERE payment_id = $1 AND version = (SELECT max(version) FROM payment_events WHERE payment_id = $1)`, refunded, books.VersionsContiguous},
		"history removed":     {`DELETE FROM payment_events WHERE payment_id = $1`, refunded, books.VersionsContiguous},
		"event added":         {`INSERT INTO payment_events SELECT payment_id, 99, occurred_at, type, traceparent, data FROM payment_events WHERE payment_id = $1 AND version = 1`, refunded, books.VersionsContiguous},
		"payment removed":     {`DELETE FROM payments WHERE payment_id = $1`, refunded, books.StateMatchesHistory},
		"event unreadable":    {`UPDATE payment_events SET data = '{}' WHERE payment_id = $1 AND version = 2`, refunded, books.HistoryReadable},
		"event retyped":       {`UPDATE payment_events SET type = 'payment.voided' WHERE payment_id = $1 AND version = 3`, refunded, books.HistoryReadable},
		"event repeated":      {`UPDATE payment_events e SET data = f.data FROM payment_events f WHERE e.payment_id = $1 AND f.payment_id = $1 AND e.version = 2 AND f.version = 1`, refunded, books.HistoryReadable},
		"amount in history":   {`UPDATE payment_events SET data = replace(data::text, '2500', '2600')::json WHERE payment_id = $1`, refunded, books.StateMatchesHistory},
		"refund too large":    {`UPDATE payment_events SET data = replace(data::text, '2500', '99900')::json WHERE payment_id = $1`, refunded, books.HistoryReadable},
		"state changed":       {`UPDATE payments SET state = replace(state::text, 'cus_1', 'cus_2')::json, customer_id = 'cus_2' WHERE payment_id = $1`, refunded, books.StateMatchesHistory},
		"state unreadable":    {`UPDATE payments SET state = '[]' WHERE payment_id = $1`, refunded, books.StateMatchesHistory},
		"column changed":      {`UPDATE payments SET status = 'captured' WHERE payment_id = $1`, refunded, books.ColumnsMatchState},
		"time changed":        {`UPDATE payments SET created_at = created_at + interval '1us' WHERE payment_id = $1`, refunded, books.ColumnsMatchState},
		"refunded too much":   {`UPDATE payments SET state = replace(state::text, '"amount_refunded_minor":2500', '"amount_refunded_minor":10001')::json WHERE payment_id = $1`, refunded, books.WithinLimits},
		"captured too much":   {`UPDATE payments SET state = replace(state::text, '"amount_captured_minor":0', '"amount_captured_minor":10001')::json WHERE payment_id = $1`, authorized, books.WithinLimits},
		"authorized too much": {`UPDATE payments SET state = replace(state::text, '"amount_authorized_minor":10000', '"amount_authorized_minor":10001')::json WHERE payment_id = $1`, authorized, books.WithinLimits},
		"operation repeated":  {`UPDATE payments SET state = replace(state::text, $1::text || '-2', $1::text || '-1')::json WHERE payment_id = $1`, refunded, books.OperationsUnique},
		"operation claimed":   {`INSERT INTO commands SELECT tenant, command, 'another', '', payload_hash, payment_id, version, operation_id, outcome FROM commands WHERE payment_id = $1`, authorized, books.OperationsUnique},
		"timer removed":       {`DELETE FROM timers WHERE payment_id = $1`, authorized, books.TimersMatchState},
		"timer moved":         {`UPDATE timers SET due_at = due_at + interval '1 hour', fire_at = fire_at + interval '1 hour' WHERE payment_id = $1`, authorized, books.TimersMatchState},
		"timer fires early":   {`UPDATE timers SET fire_at = due_at - interval '1s' WHERE payment_id = $1`, authorized, books.TimersMatchState},
		"timer added":         {`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) VALUES ($1, 'due', 'acme', '2030-01-01', '2030-01-01')`, refunded, books.TimersMatchState},
		"timer of no payment": {`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) VALUES ($1, 'due', 'acme', '2030-01-01', '2030-01-01')`, nobody, books.TimersMatchState},
		"timer of another":    {`UPDATE timers SET tenant = 'other' WHERE payment_id = $1`, authorized, books.TimersMatchState},
		"timer never fired":   {`UPDATE timers SET due_at = '2020-01-01' WHERE payment_id = $1`, unknownOutcome, books.NothingStuck},
		"claim of no payment": {`UPDATE commands SET payment_id = '019a0000-0000-7000-8000-000000000000' WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"claim of another":    {`UPDATE commands SET tenant = 'other' WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"claim of the future": {`UPDATE commands SET version = 99 WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"claim turned":        {`UPDATE commands SET outcome = 'rejected' WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"claim of no call":    {`UPDATE commands SET operation_id = 'no-such-operation' WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"conflict of nothing": {`UPDATE commands SET conflict_hash = 'x' WHERE payment_id = $1`, authorized, books.ClaimsMatchPayments},
		"invented message":    {`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload) VALUES (0, 'payments.evt.acme.payment.captured.' || $1::uuid, $1::uuid || ':99', $1::uuid, '{}')`, authorized, books.OutboxMatchesHistory},
		"message without id":  {`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload) VALUES (0, 'payments.evt.acme.payment.captured.x', 'x:y', $1::uuid, '{}')`, authorized, books.OutboxMatchesHistory},
		"message changed":     {`UPDATE outbox SET payload = payload || ' '::bytea WHERE ordering_key = $1::uuid::text`, authorized, books.OutboxMatchesHistory},
		"message parked":      {`UPDATE outbox SET parked_at = now(), parked_reason = 'too large' WHERE ordering_key = $1::uuid::text`, authorized, books.OutboxParked},
		"message not sent":    {`UPDATE outbox SET created_at = '2020-01-01' WHERE ordering_key = $1::uuid::text`, authorized, books.OutboxDelayed},
	}
}

// Every tampering must be found under its name, at its payment. All are done to one database, each
// to a sample of its own.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	samples := map[string]uuid.UUID{}
	for name, tampering := range tamperings() {
		samples[name] = tampering.of(b.Sample())
	}
	b.WantClean()
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	for name, tampering := range tamperings() {
		b.Exec(tampering.sql, samples[name].String())
	}
	report := b.Check()
	for name, tampering := range tamperings() {
		t.Run(name, func(t *testing.T) {
			found := slices.ContainsFunc(report.Findings, func(f books.Finding) bool {
				return f.Invariant == tampering.want && (f.PaymentID == samples[name] || f.PaymentID == nobody(storetest.Samples{})) && f.Detail != ""
			})
			if !found || report.Violated[tampering.want] == 0 || report.Clean() {
				t.Errorf("%s of payment %s is not among what was found", tampering.want, samples[name])
			}
		})
	}
}

func refunded(s storetest.Samples) uuid.UUID       { return s.Refunded }
func authorized(s storetest.Samples) uuid.UUID     { return s.Authorized }
func unknownOutcome(s storetest.Samples) uuid.UUID { return s.Unknown }
func nobody(storetest.Samples) uuid.UUID {
	return uuid.MustParse("019a0000-0000-7000-8000-000000000000")
}

// A worker that dies between its two commits leaves a call whose answer no worker awaits.
func TestUnansweredCallIsFoundOnceItIsOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := first(create(newID(), "k1", ""))
	b.Commit(c)
	b.WantClean()
	late := books.CheckOptions{Now: start().Add(time.Hour)}
	report, err := books.CheckInvariants(t.Context(), b.Pool, late)
	if err != nil {
		t.Fatal(err)
	}
	if report.Violated[books.NothingStuck] != 1 || report.Findings[0].PaymentID != c.Payment.ID {
		t.Errorf("found %+v, want the call without an answer", report.Findings)
	}
	if _, err := b.Store.SweepStale(t.Context(), late.Now, time.Minute, 10); err != nil {
		t.Fatal(err)
	}
	if report, err = books.CheckInvariants(t.Context(), b.Pool, late); err != nil || !report.Clean() {
		t.Errorf("after the sweep: %+v, %v; want nothing, for it is visibly parked", report.Findings, err)
	}
}

// The check is right while payments are being processed, and says how far it is.
func TestCheckWhileTrafficRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	var traffic sync.WaitGroup
	for range 4 {
		traffic.Go(func() {
			for ctx.Err() == nil {
				paymentID := newID()
				if _, err := handle(ctx, b.Store, create(paymentID, paymentID.String(), ""), succeeded(), start()); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for round := range 10 {
		var done, total int64
		report, err := books.CheckInvariants(ctx, b.Serving, books.CheckOptions{
			Now: start(), Workers: 1 + round%3, Progress: func(p books.Progress) {
				if p.Pass == "payments" {
					done, total = p.Done, p.Total
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if !report.Clean() {
			t.Errorf("round %d: %+v", round, report.Findings)
		}
		if done != total || report.Payments != total {
			t.Errorf("checked %d payments and told %d, of %d", report.Payments, done, total)
		}
	}
	cancel()
	traffic.Wait()
}

func TestCheckCountsWhatItDoesNotList(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payments = 1203 // more than two chunks
	b.CommitMany(payments)
	b.Exec(`UPDATE payments SET currency = 'EUR'`)
	report, err := books.CheckInvariants(t.Context(), b.Pool, books.CheckOptions{Now: start(), FindingsMax: 7, Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) != 7 || report.Violated[books.ColumnsMatchState] != payments ||
		report.Payments != payments || report.Checked[books.StateMatchesHistory] != payments {
		t.Errorf("%d findings, %d violations, %d payments", len(report.Findings), report.Violated[books.ColumnsMatchState], report.Payments)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.CommitMany(600)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := books.CheckInvariants(ctx, b.Pool, books.CheckOptions{Progress: func(books.Progress) { cancel() }})
	if err == nil {
		t.Error("a canceled check says that it was completed")
	}
}
