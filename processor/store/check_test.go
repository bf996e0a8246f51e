package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// sample is three payments: one captured and refunded in part, one authorized, one whose capture's outcome is unknown.
type sample struct{ refunded, authorized, unknown uuid.UUID }

func (b *bundle) sample() sample {
	b.Helper()
	s := sample{newID(), newID(), newID()}
	key := s.refunded.String()
	b.handle(create(s.refunded, key+"a", ""), succeeded(), start())
	b.handle(command(s.refunded, key, &messages.Refund{AmountMinor: amount(2500)}), succeeded(), start())
	b.handle(create(s.authorized, key+"b", messages.CaptureManual), succeeded(), start())
	b.handle(create(s.unknown, key+"c", messages.CaptureManual), succeeded(), start())
	b.handle(command(s.unknown, key, &messages.Capture{}), unknown(), start())
	return s
}

// tampering is something done to a payment by the superuser, past all guards.
type tampering struct {
	sql  string // $1 is the payment
	of   func(sample) uuid.UUID
	want store.Invariant
}

func tamperings() map[string]tampering {
	return map[string]tampering{
		"event removed":       {`DELETE FROM payment_events WHERE payment_id = $1 AND version = 2`, refunded, store.VersionsContiguous},
		"last event removed":  {`DELETE FROM payment_events WHERE payment_id = $1 AND version = (SELECT max(version) FROM payment_events WHERE payment_id = $1)`, refunded, store.VersionsContiguous},
		"history removed":     {`DELETE FROM payment_events WHERE payment_id = $1`, refunded, store.VersionsContiguous},
		"event added":         {`INSERT INTO payment_events SELECT payment_id, 99, occurred_at, type, traceparent, data FROM payment_events WHERE payment_id = $1 AND version = 1`, refunded, store.VersionsContiguous},
		"payment removed":     {`DELETE FROM payments WHERE payment_id = $1`, refunded, store.StateMatchesHistory},
		"event unreadable":    {`UPDATE payment_events SET data = '{}' WHERE payment_id = $1 AND version = 2`, refunded, store.HistoryReadable},
		"event retyped":       {`UPDATE payment_events SET type = 'payment.voided' WHERE payment_id = $1 AND version = 3`, refunded, store.HistoryReadable},
		"event repeated":      {`UPDATE payment_events e SET data = f.data FROM payment_events f WHERE e.payment_id = $1 AND f.payment_id = $1 AND e.version = 2 AND f.version = 1`, refunded, store.HistoryReadable},
		"amount in history":   {`UPDATE payment_events SET data = replace(data::text, '2500', '2600')::json WHERE payment_id = $1`, refunded, store.StateMatchesHistory},
		"refund too large":    {`UPDATE payment_events SET data = replace(data::text, '2500', '99900')::json WHERE payment_id = $1`, refunded, store.HistoryReadable},
		"state changed":       {`UPDATE payments SET state = replace(state::text, 'cus_1', 'cus_2')::json, customer_id = 'cus_2' WHERE payment_id = $1`, refunded, store.StateMatchesHistory},
		"state unreadable":    {`UPDATE payments SET state = '[]' WHERE payment_id = $1`, refunded, store.StateMatchesHistory},
		"column changed":      {`UPDATE payments SET status = 'captured' WHERE payment_id = $1`, refunded, store.ColumnsMatchState},
		"time changed":        {`UPDATE payments SET created_at = created_at + interval '1us' WHERE payment_id = $1`, refunded, store.ColumnsMatchState},
		"refunded too much":   {`UPDATE payments SET state = replace(state::text, '"amount_refunded_minor":2500', '"amount_refunded_minor":10001')::json WHERE payment_id = $1`, refunded, store.WithinLimits},
		"captured too much":   {`UPDATE payments SET state = replace(state::text, '"amount_captured_minor":0', '"amount_captured_minor":10001')::json WHERE payment_id = $1`, authorized, store.WithinLimits},
		"authorized too much": {`UPDATE payments SET state = replace(state::text, '"amount_authorized_minor":10000', '"amount_authorized_minor":10001')::json WHERE payment_id = $1`, authorized, store.WithinLimits},
		"operation repeated":  {`UPDATE payments SET state = replace(state::text, $1::text || '-2', $1::text || '-1')::json WHERE payment_id = $1`, refunded, store.OperationsUnique},
		"operation claimed":   {`INSERT INTO commands SELECT tenant, command, 'another', '', payload_hash, payment_id, version, operation_id, outcome FROM commands WHERE payment_id = $1`, authorized, store.OperationsUnique},
		"timer removed":       {`DELETE FROM timers WHERE payment_id = $1`, authorized, store.TimersMatchState},
		"timer moved":         {`UPDATE timers SET due_at = due_at + interval '1 hour', fire_at = fire_at + interval '1 hour' WHERE payment_id = $1`, authorized, store.TimersMatchState},
		"timer fires early":   {`UPDATE timers SET fire_at = due_at - interval '1s' WHERE payment_id = $1`, authorized, store.TimersMatchState},
		"timer added":         {`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) VALUES ($1, 'due', 'acme', '2030-01-01', '2030-01-01')`, refunded, store.TimersMatchState},
		"timer of nobody":     {`INSERT INTO timers (payment_id, kind, tenant, due_at, fire_at) VALUES ($1, 'due', 'acme', '2030-01-01', '2030-01-01')`, nobody, store.TimersMatchState},
		"timer of another":    {`UPDATE timers SET tenant = 'other' WHERE payment_id = $1`, authorized, store.TimersMatchState},
		"timer never fired":   {`UPDATE timers SET due_at = '2020-01-01' WHERE payment_id = $1`, unknownOutcome, store.NothingStuck},
		"claim of nobody":     {`UPDATE commands SET payment_id = '019a0000-0000-7000-8000-000000000000' WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"claim of another":    {`UPDATE commands SET tenant = 'other' WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"claim of the future": {`UPDATE commands SET version = 99 WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"claim turned":        {`UPDATE commands SET outcome = 'rejected' WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"claim of no call":    {`UPDATE commands SET operation_id = 'no-such-operation' WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"conflict of nothing": {`UPDATE commands SET conflict_hash = 'x' WHERE payment_id = $1`, authorized, store.ClaimsMatchPayments},
		"invented message":    {`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload) VALUES (0, 'payments.evt.acme.payment.captured.' || $1::uuid, $1::uuid || ':99', $1::uuid, '{}')`, authorized, store.OutboxMatchesHistory},
		"message without id":  {`INSERT INTO outbox (partition, subject, message_id, ordering_key, payload) VALUES (0, 'payments.evt.acme.payment.captured.x', 'x:y', $1::uuid, '{}')`, authorized, store.OutboxMatchesHistory},
		"message changed":     {`UPDATE outbox SET payload = payload || ' '::bytea WHERE ordering_key = $1::uuid::text`, authorized, store.OutboxMatchesHistory},
		"message parked":      {`UPDATE outbox SET parked_at = now(), parked_reason = 'too large' WHERE ordering_key = $1::uuid::text`, authorized, store.OutboxParked},
		"message not sent":    {`UPDATE outbox SET created_at = '2020-01-01' WHERE ordering_key = $1::uuid::text`, authorized, store.OutboxDelayed},
	}
}

// Every tampering must be found under its name, at its payment. All are done to one database, each to a sample of its own.
func TestTamperingIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	samples := map[string]uuid.UUID{}
	for name, tampering := range tamperings() {
		samples[name] = tampering.of(b.sample())
	}
	b.wantClean()
	b.exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	for name, tampering := range tamperings() {
		b.exec(tampering.sql, samples[name].String())
	}
	report := b.check()
	for name, tampering := range tamperings() {
		t.Run(name, func(t *testing.T) {
			found := slices.ContainsFunc(report.Findings, func(f store.Finding) bool {
				return f.Invariant == tampering.want && (f.PaymentID == samples[name] || f.PaymentID == nobody(sample{})) && f.Detail != ""
			})
			if !found || report.Violated[tampering.want] == 0 || report.Clean() {
				t.Errorf("%s of payment %s is not among what was found", tampering.want, samples[name])
			}
		})
	}
}

func refunded(s sample) uuid.UUID       { return s.refunded }
func authorized(s sample) uuid.UUID     { return s.authorized }
func unknownOutcome(s sample) uuid.UUID { return s.unknown }
func nobody(sample) uuid.UUID           { return uuid.MustParse("019a0000-0000-7000-8000-000000000000") }

// A worker that dies between its two commits leaves a call that nobody waits for.
func TestUnansweredCallIsFoundOnceItIsOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := first(create(newID(), "k1", ""))
	b.commit(c)
	b.wantClean()
	late := store.CheckOptions{Now: start().Add(time.Hour)}
	report, err := store.CheckInvariants(t.Context(), b.pool, late)
	if err != nil {
		t.Fatal(err)
	}
	if report.Violated[store.NothingStuck] != 1 || report.Findings[0].PaymentID != c.Payment.ID {
		t.Errorf("found %+v, want the call without an answer", report.Findings)
	}
	if _, err := b.store.SweepStale(t.Context(), late.Now, time.Minute, 10); err != nil {
		t.Fatal(err)
	}
	if report, err = store.CheckInvariants(t.Context(), b.pool, late); err != nil || !report.Clean() {
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
				if _, err := handle(ctx, b.store, create(paymentID, paymentID.String(), ""), succeeded(), start()); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	for round := range 10 {
		var done, total int64
		report, err := store.CheckInvariants(ctx, b.serving, store.CheckOptions{
			Now: start(), Workers: 1 + round%3, Progress: func(p store.Progress) {
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
	b.commitMany(payments)
	b.exec(`UPDATE payments SET currency = 'EUR'`)
	report, err := store.CheckInvariants(t.Context(), b.pool, store.CheckOptions{Now: start(), FindingsMax: 7, Workers: 3})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Findings) != 7 || report.Violated[store.ColumnsMatchState] != payments ||
		report.Payments != payments || report.Checked[store.StateMatchesHistory] != payments {
		t.Errorf("%d findings, %d violations, %d payments", len(report.Findings), report.Violated[store.ColumnsMatchState], report.Payments)
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.commitMany(600)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := store.CheckInvariants(ctx, b.pool, store.CheckOptions{Progress: func(store.Progress) { cancel() }})
	if err == nil {
		t.Error("a canceled check says that it was completed")
	}
}

// commitMany commits new payments, all at once.
func (b *bundle) commitMany(n int) {
	b.Helper()
	var committing sync.WaitGroup
	for range n {
		committing.Go(func() {
			paymentID := newID()
			if err := b.store.Commit(b.Context(), first(create(paymentID, paymentID.String(), ""))); err != nil {
				b.Error(err)
			}
		})
	}
	committing.Wait()
}
