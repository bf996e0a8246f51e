package store_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

const lease = time.Minute

func (b *bundle) fire(now time.Time) int {
	b.Helper()
	fired, _, err := b.Store.FireTimers(b.Context(), now, 100, lease)
	if err != nil {
		b.Fatal(err)
	}
	return fired
}

// resumes are the resume commands in the outbox, decoded as a worker does, in the order of their
// firing.
func (b *bundle) resumes() []messages.Command {
	b.Helper()
	rows, err := b.Pool.Query(b.Context(), `SELECT subject, message_id, header, payload FROM outbox
		WHERE subject LIKE 'payments.cmd.%' ORDER BY created_at, id`)
	if err != nil {
		b.Fatal(err)
	}
	commands, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (messages.Command, error) {
		var subject, messageID string
		var header, body []byte
		if err := row.Scan(&subject, &messageID, &header, &body); err != nil {
			return messages.Command{}, err
		}
		named := map[string]string{}
		if err := json.Unmarshal(header, &named); err != nil {
			return messages.Command{}, err
		}
		published := nats.Header{"Nats-Msg-Id": {messageID}}
		for name, value := range named {
			published[name] = []string{value}
		}
		return messages.DecodeCommand(subject, published, body)
	})
	if err != nil {
		b.Fatal(err)
	}
	return commands
}

func TestTimerFollowsThePayment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paymentID := newID()
	p := b.Handle(create(paymentID, "c", messages.CaptureManual), succeeded(), start()).Payment
	b.wantTimer(paymentID, p.DueAt(p.UpdatedAt))
	p = b.Handle(command(paymentID, "p", &messages.Capture{}), unknown(), start().Add(time.Second)).Payment
	b.wantTimer(paymentID, start().Add(6*time.Second))
	if p.Status != messages.StatusUnknown {
		t.Fatalf("the payment is %s", p.Status)
	}
	resume := messages.Command{
		ID: "resume-1", Tenant: tenant, PaymentID: paymentID, Body: &messages.Resume{}, CorrelationID: paymentID.String(),
	}
	d := payment.Decide(p, resume, env(start().Add(6*time.Second)))
	if _, err := storetest.Settle(t.Context(), b.Store, resume, withPayment(d, p), succeeded(), start().Add(6*time.Second)); err != nil {
		t.Fatal(err)
	}
	b.wantTimer(paymentID, time.Time{})
	b.WantClean()
}

// withPayment lets a decision without events be settled.
func withPayment(d payment.Decision, p *payment.Payment) payment.Decision {
	d.Payment = p
	return d
}

func (b *bundle) wantTimer(paymentID uuid.UUID, want time.Time) {
	b.Helper()
	var got time.Time
	rows, err := b.Pool.Query(b.Context(), `SELECT due_at FROM timers WHERE payment_id = $1 AND kind = 'due'`, paymentID[:])
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&got}, func() error { return nil }); err != nil {
		b.Fatal(err)
	}
	if !got.Equal(want) {
		b.Errorf("the timer is set for %s, want %s", got, want)
	}
}

func TestTimerFiresOnceForEachLease(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paymentID := newID()
	b.Handle(create(paymentID, "c", ""), unknown(), start())
	due := start().Add(5 * time.Second)

	fired, next, err := b.Store.FireTimers(t.Context(), due.Add(-time.Microsecond), 100, lease)
	if err != nil || fired != 0 || !next.Equal(due) {
		t.Errorf("before it is due: fired %d, next %s, %v", fired, next, err)
	}
	if n := b.fire(due); n != 1 {
		t.Errorf("fired %d when due, want 1", n)
	}
	if n := b.fire(due.Add(lease - time.Microsecond)); n != 0 {
		t.Errorf("fired %d within the lease", n)
	}
	if n := b.fire(due.Add(lease)); n != 0 {
		t.Errorf("fired %d after the lease while the resume waits in the outbox", n)
	}
	if published := b.published(due.Add(lease)); len(published) != 0 {
		t.Errorf("%d resumes have left the outbox", len(published))
	}
	b.Exec(`DELETE FROM outbox`) // The relay has published everything.
	if published := b.published(due.Add(lease - time.Microsecond)); len(published) != 0 {
		t.Errorf("%d resumes are asked about within the lease", len(published))
	}
	published := b.published(due.Add(lease))
	if err := b.Store.BoundResumes(t.Context(), published, 7); err != nil || len(published) != 1 {
		t.Fatalf("%d resumes have left the outbox, %v; want 1", len(published), err)
	}
	known := store.ResumeBounds{Lowest: 7, Highest: 7}
	if bounds, err := b.Store.ResumeBounds(t.Context()); err != nil || bounds != known {
		t.Errorf("the sequences are %+v, %v", bounds, err)
	}
	if n := b.handled(store.Handled{Upto: 6, Last: 9, Known: known}); n != 0 {
		t.Errorf("%d timers may fire again while the resume waits in the stream", n)
	}
	if n := b.handled(store.Handled{Upto: 7, Last: 9, Known: known}); n != 1 {
		t.Errorf("%d timers may fire again when the resume was handled, want 1", n)
	}
	b.fireTimes(due.Add(lease), 1)
	// A stream that was lost counts anew: the resume is gone.
	b.Exec(`DELETE FROM outbox`)
	if err := b.Store.BoundResumes(t.Context(), b.published(due.Add(2*lease)), 9); err != nil {
		t.Fatal(err)
	}
	if n := b.handled(store.Handled{Upto: 0, Last: 3, Known: store.ResumeBounds{Lowest: 9, Highest: 9}}); n != 1 {
		t.Errorf("%d timers may fire again after the stream was lost, want 1", n)
	}
	b.fireTimes(due.Add(2*lease), 1)
}

// published returns the resumes that have left the outbox and whose lease has ended.
func (b *bundle) published(now time.Time) []store.Resume {
	b.Helper()
	published, err := b.Store.PublishedResumes(b.Context(), now, 100)
	if err != nil {
		b.Fatal(err)
	}
	return published
}

func (b *bundle) handled(h store.Handled) int {
	b.Helper()
	n, err := b.Store.HandledResumes(b.Context(), h, 100)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

func (b *bundle) fireTimes(now time.Time, want int) {
	b.Helper()
	if n := b.fire(now); n != want {
		b.Errorf("fired %d at %s, want %d", n, now, want)
	}
}

func TestEachFiringHasAnIDOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paymentID := newID()
	b.Handle(create(paymentID, "c", ""), unknown(), start())
	due := start().Add(5 * time.Second)
	b.fireTimes(due, 1)
	b.Exec(`UPDATE timers SET resume_id = NULL, resume_partition = NULL`)
	b.fireTimes(due.Add(lease), 1)
	resumes := b.resumes()
	if len(resumes) != 2 || resumes[0].ID == resumes[1].ID {
		t.Fatalf("%d commands, want two under different ids", len(resumes))
	}
	for _, cmd := range resumes {
		body, ok := cmd.Body.(*messages.Resume)
		if !ok || cmd.PaymentID != paymentID || cmd.Tenant != tenant || !body.DueAt.Equal(due) {
			t.Errorf("command %+v", cmd)
		}
	}
}

func TestNewTimeStartsAfresh(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paymentID := newID()
	p := b.Handle(create(paymentID, "c", ""), unknown(), start()).Payment
	now := start().Add(5 * time.Second)
	b.fire(now)
	resume := b.resumes()[0]
	d := payment.Decide(p, resume, env(now))
	if _, err := storetest.Settle(t.Context(), b.Store, resume, withPayment(d, p), unknown(), now); err != nil {
		t.Fatal(err)
	}
	b.wantTimer(paymentID, start().Add(30*time.Second))
	if n := b.fire(start().Add(30 * time.Second)); n != 1 {
		t.Errorf("fired %d at the new time although the lease of the old one lasts, want 1", n)
	}
	b.WantClean()
}

func TestSchedulersShareTheTimers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const payments = 200
	for i := range payments {
		b.Handle(create(newID(), fmt.Sprintf("k%d", i), ""), unknown(), start())
	}
	var total atomic.Int64
	var firing sync.WaitGroup
	for range 6 {
		firing.Go(func() {
			for {
				fired, _, err := b.Store.FireTimers(t.Context(), start().Add(time.Minute), 7, lease)
				if err != nil {
					t.Error(err)
				}
				if total.Add(int64(fired)); fired == 0 {
					return
				}
			}
		})
	}
	firing.Wait()
	distinct := b.Count(`SELECT count(DISTINCT message_id) FROM outbox WHERE subject LIKE 'payments.cmd.%'`)
	// A scheduler may find all that is left in another's hands and stop; what it saw is then fired
	// by the other.
	if total.Load() != payments || distinct != payments {
		t.Errorf("%d timers fired, %d commands, want %d", total.Load(), distinct, payments)
	}
}

func TestSweepFindsCallsThatNobodyCameBackFrom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := first(create(newID(), "k1", ""))
	b.Commit(c)
	const age = 10 * time.Minute
	sweep := func(now time.Time) int {
		t.Helper()
		swept, err := b.Store.SweepStale(t.Context(), now, age, 100)
		if err != nil {
			t.Fatal(err)
		}
		return swept
	}
	if n := sweep(start().Add(age)); n != 0 {
		t.Errorf("swept %d that are not old enough", n)
	}
	late := start().Add(age + time.Second)
	if n := sweep(late); n != 1 {
		t.Errorf("swept %d, want 1", n)
	}
	if n := sweep(late); n != 0 {
		t.Errorf("swept %d again", n)
	}
	if n := b.fire(late); n != 1 {
		t.Errorf("fired %d, want 1", n)
	}
	// The command finds the call and makes it again; then there is nothing left to sweep.
	loaded, err := b.Store.Load(t.Context(), store.Key{PaymentID: c.Payment.ID, Tenant: tenant, Command: messages.CommandResume})
	if err != nil {
		t.Fatal(err)
	}
	resume := b.resumes()[0]
	d := payment.Decide(loaded.Payment, resume, env(late))
	b.Commit(change(loaded.Payment, d, nil))
	if _, err := storetest.Settle(t.Context(), b.Store, resume, d, succeeded(), late); err != nil {
		t.Fatal(err)
	}
	if n := sweep(late.Add(time.Hour)); n != 0 {
		t.Errorf("swept %d that are settled", n)
	}
	if n := b.Count(`SELECT count(*) FROM timers`); n != 0 {
		t.Errorf("%d timers are left", n)
	}
	if _, err := b.Store.SweepStale(t.Context(), late, 0, 100); err == nil {
		t.Error("calls under way may be swept")
	}
	b.WantClean()
}

// The expiry of the rest of an authorization must not hide an abandoned refund.
func TestSweepLooksPastOtherTimers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	paymentID := newID()
	b.Handle(create(paymentID, "c", messages.CaptureManualMultiple), succeeded(), start())
	p := b.Handle(command(paymentID, "p", &messages.Capture{AmountMinor: amount(4000)}), succeeded(), start()).Payment
	refund := command(paymentID, "r", &messages.Refund{})
	d := payment.Decide(p, refund, env(start()))
	b.Commit(change(p, d, claimOf(refund, d)))
	b.wantTimer(paymentID, p.DueAt(p.UpdatedAt))
	if swept, err := b.Store.SweepStale(t.Context(), start().Add(time.Hour), time.Minute, 100); err != nil || swept != 1 {
		t.Errorf("swept %d, %v; want 1", swept, err)
	}
	b.wantTimer(paymentID, p.DueAt(p.UpdatedAt))
}

// A scheduler whose clock is ahead fires nothing early, and puts nothing off to a time of its own.
func TestTimersFireByTheClockOfTheDatabase(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.Handle(create(newID(), "soon", ""), messages.Outcome{Kind: messages.OutcomeUnknown, Tries: 1}, time.Now())
	ahead := time.Now().Add(24 * time.Hour)
	if n := b.fire(ahead); n != 0 {
		t.Errorf("%d timers fired before their time", n)
	}
	b.Exec(`UPDATE timers SET due_at = now() - interval '1 s', fire_at = now() - interval '1 s'`)
	if n := b.fire(ahead); n != 1 {
		t.Fatalf("%d timers fired, want the one that is due", n)
	}
	if n := b.Count(`SELECT count(*) FROM timers WHERE fire_at > now() + interval '2 minutes'`); n != 0 {
		t.Errorf("a timer was put off to the time of a clock that is ahead")
	}
}
