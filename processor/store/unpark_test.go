package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// park makes payments that wait for gateway sim, which could not be reached, until a late time.
func (b *bundle) park(n int, now time.Time) []*payment.Payment {
	b.Helper()
	parked := make([]*payment.Payment, n)
	for i := range parked {
		paymentID := newID()
		p := b.Handle(create(paymentID, paymentID.String(), ""), messages.Outcome{Kind: messages.OutcomeNotSent, Tries: 1}, now).Payment
		if timer := p.Timer(now); timer.Gateway != "sim" || !timer.At.After(now) {
			b.Fatalf("a payment whose gateway could not be reached has the timer %+v", timer)
		}
		parked[i] = p
		// It has been parked often: its next time is far off.
		b.Exec(`UPDATE timers SET fire_at = fire_at + interval '5 minutes' WHERE payment_id = $1`, paymentID)
	}
	return parked
}

func TestOursParkedPaymentsComeBackWhenTheirGatewayAnswers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const spread = 2 * time.Second
	b.park(30, start())
	b.Handle(create(newID(), "unknown", ""), unknown(), start()) // waits for a time, not for a gateway
	now := start().Add(time.Second)
	unpark := func(gateway string) (n int) {
		t.Helper()
		n, err := b.Store.Unpark(t.Context(), gateway, now, spread, 20)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := unpark("another") + unpark(""); n != 0 {
		t.Errorf("%d payments were brought forward for another gateway or none", n)
	}
	if first, second, third := unpark("sim"), unpark("sim"), unpark("sim"); first != 20 || second != 10 || third != 0 {
		t.Errorf("brought forward %d, %d and %d payments, want 20, 10 and 0", first, second, third)
	}
	if n := b.Count(`SELECT count(DISTINCT fire_at) FROM timers WHERE try_now AND fire_at BETWEEN $1 AND $2`, now, now.Add(spread)); n < 25 {
		t.Errorf("30 timers fire at %d different times within the spread", n)
	}
	b.WantClean()
	b.fireTimes(now.Add(spread), 30)
	for _, cmd := range b.resumes() {
		if !cmd.Body.(*messages.Resume).Now {
			t.Errorf("the resume of payment %s does not try now", cmd.PaymentID)
		}
	}
}

func TestOursAPaymentThatIsParkedAgainWaitsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.park(1, start())[0]
	if _, err := b.Store.Unpark(t.Context(), "sim", start().Add(time.Second), 0, 10); err != nil {
		t.Fatal(err)
	}
	later := payment.Timer{At: start().Add(time.Hour), Gateway: "sim"}
	if err := b.Store.Reschedule(t.Context(), tenant, p.ID, p.Version, later); err != nil {
		t.Fatal(err)
	}
	b.fireTimes(start().Add(time.Minute), 0)
	if n, err := b.Store.Unpark(t.Context(), "sim", start().Add(time.Minute), 0, 10); n != 1 || err != nil {
		t.Errorf("brought forward %d, %v; want 1", n, err)
	}
}

func TestRescheduleMovesATimerWithoutAnEvent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.Handle(create(newID(), "c", ""), unknown(), start()).Payment
	move := func(tenant string, paymentID uuid.UUID, version int64, at time.Time) error {
		return b.Store.Reschedule(t.Context(), tenant, paymentID, version, payment.Timer{At: at})
	}
	later := start().Add(time.Hour)
	for name, err := range map[string]error{
		"another version":   move(tenant, p.ID, p.Version-1, later),
		"another tenant":    move("globex", p.ID, p.Version, later),
		"no such payment":   move(tenant, newID(), p.Version, later),
		"a version to come": move(tenant, p.ID, p.Version+1, later),
	} {
		if !errors.Is(err, store.ErrVersionConflict) {
			t.Errorf("%s: %v, want ErrVersionConflict", name, err)
		}
	}
	b.wantTimer(p.ID, p.DueAt(p.UpdatedAt))
	b.fire(p.DueAt(p.UpdatedAt))
	if err := move(tenant, p.ID, p.Version, later); err != nil {
		t.Fatal(err)
	}
	b.wantTimer(p.ID, later)
	b.fireTimes(later.Add(-time.Microsecond), 0)
	b.fireTimes(later, 1)
	if err := move(tenant, p.ID, p.Version, time.Time{}); err != nil {
		t.Fatal(err)
	}
	b.wantTimer(p.ID, time.Time{})
}
