package books_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// rebuild returns what was found, by payment.
func (b *bundle) rebuild(o books.RebuildOptions) (map[uuid.UUID]books.Rebuilt, books.RebuildReport) {
	b.Helper()
	found := map[uuid.UUID]books.Rebuilt{}
	o.Found = func(r books.Rebuilt) error {
		found[r.PaymentID] = r
		return nil
	}
	report, err := books.Rebuild(b.Context(), b.Serving, o)
	if err != nil {
		b.Fatal(err)
	}
	return found, report
}

// mendable are tamperings that leave the history whole, with a field that is told to differ.
func mendable() map[string]string {
	return map[string]string{
		"payment removed": "payments row", "state changed": "payments customer_id", "state unreadable": "payments state", "column changed": "payments status",
		"time changed": "payments created_at", "refunded too much": "payments state.amount_refunded_minor",
		"captured too much":   "payments state.amount_captured_minor",
		"authorized too much": "payments state.amount_authorized_minor", "operation repeated": "payments state.operations",
		"timer removed": "timers due", "timer moved": "timers due", "timer fires early": "timers due", "timer added": "timers due",
		"timer of no payment": "timers due", "timer of another": "timers due", "timer never fired": "timers due",
	}
}

// damaged are tamperings of the history: what is left of it must not be written over the state.
func damaged() map[string]string {
	return map[string]string{
		"event removed": "event 3 does not follow what is there as event 1", "last event removed": "events are missing", "history removed": "there is no history",
		"event added": "event 99", "event unreadable": "event 2: ", "event retyped": "event 3: ", "event repeated": "event 2: ",
		"refund too large": "event ",
	}
}

// Every row that is not as the history has it is told about first and then mended, with the rights
// of the serving role; and every history that is damaged is left alone.
func TestRebuildMendsWhatTheHistoryKnows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	samples := map[string]uuid.UUID{}
	for _, names := range []map[string]string{mendable(), damaged()} {
		for name := range names {
			samples[name] = tamperings()[name].of(b.Sample())
		}
	}
	if found, report := b.rebuild(books.RebuildOptions{}); len(found) != 0 || report.Payments != int64(3*len(samples)) {
		t.Fatalf("nothing is wrong yet: %+v, %+v", report, found)
	}
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	for name, paymentID := range samples {
		b.Exec(tamperings()[name].sql, paymentID.String())
	}
	b.Exec(`ALTER TABLE payment_events ENABLE TRIGGER append_only`)
	events := b.digest(`payment_events`)
	payments := b.digest(`payments`)

	found, report := b.rebuild(books.RebuildOptions{Workers: 2})
	if report.Differing != int64(len(mendable())) || report.Damaged != int64(len(damaged())) || report.Applied != 0 {
		t.Errorf("dry run: %+v", report)
	}
	for name, field := range mendable() {
		if r := found[samples[name]]; r.Damage != "" || !hasDifference(r, field) {
			t.Errorf("%s: %s is not among %+v", name, field, r)
		}
	}
	for name, damage := range damaged() {
		if r := found[samples[name]]; !strings.Contains(r.Damage, damage) || len(r.Differences) > 0 {
			t.Errorf("%s: got %+v, want %s", name, r, damage)
		}
	}
	if b.digest(`payments`) != payments {
		t.Error("the dry run has written")
	}

	_, report = b.rebuild(books.RebuildOptions{Apply: true})
	if report.Applied != int64(len(mendable())) || report.Damaged != int64(len(damaged())) {
		t.Errorf("applied: %+v", report)
	}
	if found, report = b.rebuild(books.RebuildOptions{}); report.Differing != 0 || len(found) != len(damaged()) {
		t.Errorf("afterwards: %+v, %+v", report, found)
	}
	if b.digest(`payment_events`) != events {
		t.Error("the history was written to")
	}
	for name := range mendable() {
		if p := b.checkPayment(samples[name]); !p.Clean() {
			t.Errorf("%s: afterwards %+v", name, p.Findings)
		}
	}
}

func hasDifference(r books.Rebuilt, field string) bool {
	for _, d := range r.Differences {
		if d.Table+" "+d.Field == field && d.From != d.To {
			return true
		}
	}
	return false
}

// digest changes with any row of a table.
func (b *bundle) digest(table string) string {
	b.Helper()
	var digest string
	if err := b.Pool.QueryRow(b.Context(), `SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM `+table+` t`).Scan(&digest); err != nil {
		b.Fatal(err)
	}
	return digest
}

func TestRebuildOfNamedPaymentsLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, other := b.Sample().Refunded, b.Sample().Refunded
	b.Exec(`UPDATE payments SET currency = 'EUR'`)
	found, report := b.rebuild(books.RebuildOptions{Payments: []uuid.UUID{one}, Apply: true})
	if report.Payments != 1 || report.Applied != 1 || !found[one].Applied {
		t.Errorf("got %+v, %+v", report, found)
	}
	if n := b.Count(`SELECT count(*) FROM payments WHERE payment_id = $1 AND currency = 'EUR'`, other); n != 1 {
		t.Error("another payment was written")
	}
	if _, report := b.rebuild(books.RebuildOptions{Payments: []uuid.UUID{newID()}}); report.Payments != 0 {
		t.Errorf("a payment that never was: %+v", report)
	}
}

// All rows are lost, more than a chunk of them, and come back from the events.
func TestRebuildOfAnEmptiedTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.fill(1203)
	b.Exec(`TRUNCATE payments, timers`)
	if _, report := b.rebuild(books.RebuildOptions{Apply: true}); report.Applied != report.Payments || report.Payments < 1203 {
		t.Errorf("got %+v", report)
	}
	b.WantClean()
}

// Payments move while they are rebuilt: nothing that was committed is overwritten.
func TestRebuildWhileTrafficRuns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var traffic sync.WaitGroup
	const workers, rounds = 4, 40
	for range workers {
		traffic.Go(func() {
			for range rounds {
				paymentID := newID()
				cmds := []messages.Command{
					create(paymentID, paymentID.String(), ""),
					command(paymentID, paymentID.String()+"a", &messages.Refund{AmountMinor: amount(1000)}),
					command(paymentID, paymentID.String()+"b", &messages.Refund{AmountMinor: amount(2000)}),
				}
				for _, cmd := range cmds {
					if _, err := handle(ctx, b.Store, cmd, succeeded(), start()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var tampering sync.WaitGroup
	stop := make(chan struct{})
	tampering.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.Exec(`UPDATE payments SET customer_id = 'another', captured_minor = captured_minor WHERE payment_id IN (
					SELECT p.payment_id FROM payments p ORDER BY random() LIMIT 5 FOR UPDATE)`)
				b.rebuild(books.RebuildOptions{Apply: true, Workers: 2})
			}
		}
	})
	traffic.Wait()
	close(stop)
	tampering.Wait()
	b.rebuild(books.RebuildOptions{Apply: true})
	b.WantClean()
	if n := b.Count(`SELECT count(*) FROM payments WHERE refunded_minor = 3000`); n != workers*rounds {
		t.Errorf("%d payments are refunded, want %d", n, workers*rounds)
	}
}
