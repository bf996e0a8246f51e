package books_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/processor/store/books"
)

func (b *bundle) checkPayment(paymentID uuid.UUID) books.PaymentCheck {
	b.Helper()
	p, err := books.CheckPayment(b.Context(), b.Serving, paymentID, books.CheckOptions{Now: start().Add(time.Minute)})
	if err != nil {
		b.Fatal(err)
	}
	return p
}

// Every finding of the whole check at a payment is a finding of the check of that payment alone.
func TestTamperingIsFoundAtOnePayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Sample()
	for _, paymentID := range []uuid.UUID{s.Refunded, s.Authorized, s.Unknown} {
		if p := b.checkPayment(paymentID); !p.Clean() || !p.Exists || len(p.Events) < 3 || p.Claims == 0 || p.OutboxRows == 0 {
			t.Errorf("a clean payment: %+v", p)
		}
	}
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	for name, tampering := range tamperings() {
		paymentID := tampering.of(b.Sample())
		b.Exec(tampering.sql, paymentID.String())
		p := b.checkPayment(paymentID)
		if !slices.ContainsFunc(p.Findings, func(f books.Finding) bool { return f.Invariant == tampering.want }) && name != "claim of no payment" {
			t.Errorf("%s: %s is not among %+v", name, tampering.want, p.Findings)
		}
	}
}

// The history is told event by event, up to where it breaks and beyond.
func TestFaultyEventIsNamed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Sample()
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	b.Exec(`UPDATE payment_events SET data = '{}' WHERE payment_id = $1 AND version = 3`, s.Refunded)
	b.Exec(`DELETE FROM payments WHERE payment_id = $1`, s.Refunded)
	p := b.checkPayment(s.Refunded)
	if p.Exists || len(p.Events) != 5 {
		t.Fatalf("got %+v", p)
	}
	for i, e := range p.Events {
		if e.Version != int64(i+1) || (len(e.Problems) > 0) != (i == 2 || i == 3) || e.Unchecked != (i > 2) {
			t.Errorf("event %d: %+v", i+1, e)
		}
	}
}

// A payment of which only one kind of row is left is described all the same, and one of which
// nothing is left is nothing.
func TestRemainsOfAPaymentAreFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Exec(`ALTER TABLE payment_events DISABLE TRIGGER append_only`)
	tables := map[string]string{"payments": "payment_id", "payment_events": "payment_id", "commands": "payment_id", "timers": "payment_id", "outbox": "ordering_key"}
	for left := range tables {
		paymentID := b.Sample().Authorized
		for table, column := range tables {
			if table != left {
				b.Exec(`DELETE FROM `+table+` WHERE `+column+`::text = $1`, paymentID.String())
			}
		}
		p := b.checkPayment(paymentID)
		if p.Clean() || p.Nothing() {
			t.Errorf("%s alone are left: %+v", left, p)
		}
		for _, f := range p.Findings {
			if f.PaymentID != paymentID || strings.TrimSpace(f.Detail) == "" {
				t.Errorf("%s alone are left: %+v", left, f)
			}
		}
	}
	if p := b.checkPayment(newID()); !p.Nothing() || !p.Clean() {
		t.Errorf("a payment that never was: %+v", p)
	}
}
