package delivery_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/delivery"
	"github.com/seed-384b1f8a/tender/processor/payment"
	"github.com/seed-384b1f8a/tender/processor/store"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// driver makes the effects of deliveries of one payment, one after the other.
type driver struct {
	t   *testing.T
	cfg delivery.Config
	now time.Time
	// stored is the payment as the latest commit left it.
	stored *payment.Payment
	// answers are the gateways' answers, in order; calls are the calls that were made.
	answers []messages.Outcome
	calls   []payment.Call
	// made lists the effects that were made.
	made []delivery.EffectKind
	// fails are the results of the next commits; a commit without one succeeds.
	fails []error
	timer payment.Timer
}

var errAway = errors.New("the store is away")

func newDriver(t *testing.T) *driver {
	d := &driver{t: t, now: start, stored: &payment.Payment{}}
	d.cfg = delivery.Config{
		Policy: payment.DefaultPolicy(), Retryable: func(err error) bool { return errors.Is(err, errAway) },
		Route: func(messages.Command, *payment.Payment) payment.Route {
			return payment.Route{Gateway: "primary", Fallbacks: []string{"second"}}
		},
	}
	return d
}

func (d *driver) handle(body messages.CommandBody, answers ...messages.Outcome) error {
	d.t.Helper()
	d.answers = answers
	cmd := messages.Command{
		ID: "cmd", Tenant: "acme", PaymentID: uuid.UUID{15: 1}, CorrelationID: "order", Body: body,
	}
	if body.CommandName() != messages.CommandResume {
		cmd.IdempotencyKey = string(body.CommandName())
	}
	m := delivery.New(&d.cfg, cmd, false)
	effect := m.Start(d.now)
	for range 100 {
		d.made = append(d.made, effect.Kind)
		switch effect.Kind {
		case delivery.Load:
			effect = m.Loaded(store.Loaded{Payment: d.stored.Clone()}, nil, d.now)
		case delivery.Commit:
			effect = m.Committed(d.commit(effect.Change), d.now)
		case delivery.Call:
			d.calls = append(d.calls, effect.Call)
			if len(d.answers) == 0 {
				d.t.Fatalf("an unexpected call: %+v", effect.Call)
			}
			answer := d.answers[0]
			d.answers = d.answers[1:]
			effect = m.Answered(answer, d.now)
		case delivery.Wait:
			d.now = d.now.Add(effect.Wait)
			effect = m.Waited(d.now)
		case delivery.Reschedule:
			d.timer = effect.Timer
			effect = m.Rescheduled(nil, d.now)
		case delivery.End:
			return effect.Err
		}
	}
	d.t.Fatal("the delivery does not end")
	return nil
}

func (d *driver) commit(change store.Change) error {
	if len(d.fails) > 0 {
		err := d.fails[0]
		d.fails = d.fails[1:]
		return err
	}
	if change.ExpectedVersion != d.stored.Version {
		return store.ErrVersionConflict
	}
	d.stored, d.timer = change.Payment, change.Timer
	return nil
}

func create() *messages.Create {
	return &messages.Create{AmountMinor: 1000, Currency: "EUR", PaymentMethod: "pm_card_visa"}
}

func notSent() messages.Outcome { return messages.Outcome{Kind: messages.OutcomeNotSent, Tries: 1} }

func succeeded() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw_1", AmountMinor: 1000, Tries: 1}
}

// Bug 5: the call of a failover inside a resume was dropped, because the resume was decided again
// first. That took the operation for one that may have been sent.
func TestOursAFailoverInsideAResumeIsCalled(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	if err := d.handle(create(), notSent(), notSent()); err != nil {
		t.Fatal(err)
	}
	d.now = d.stored.DueAt(d.now)
	if err := d.handle(&messages.Resume{}, notSent(), notSent()); err != nil {
		t.Fatal(err)
	}
	for i := range d.stored.Operations {
		if op := &d.stored.Operations[i]; op.Unproven || op.Status == payment.OperationUnknown {
			t.Fatalf("operation %s was never sent, and is taken for one that may have been", op.ID)
		}
	}
	d.now = d.stored.DueAt(d.now)
	if err := d.handle(&messages.Resume{}, notSent(), succeeded()); err != nil {
		t.Fatal(err)
	}
	if n := len(d.calls); n != 6 || d.calls[2].Operation.Gateway == d.calls[3].Operation.Gateway {
		t.Fatalf("%d calls: %+v", n, d.calls)
	}
	if d.stored.Status != messages.StatusCaptured {
		t.Fatalf("%s", d.stored.Status)
	}
	for i := range d.stored.Operations {
		if op := &d.stored.Operations[i]; op.Status == payment.OperationSent {
			t.Fatalf("operation %s is recorded as sent and was never called", op.ID)
		}
	}
}

// Nothing is asked of a gateway before the decision to ask is committed.
func TestACallFollowsItsCommit(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	d.fails = []error{errAway, store.ErrVersionConflict}
	if err := d.handle(create(), succeeded()); err != nil {
		t.Fatal(err)
	}
	want := []delivery.EffectKind{
		delivery.Load, delivery.Commit, delivery.Wait, delivery.Load, delivery.Commit, delivery.Load, delivery.Commit,
		delivery.Call, delivery.Commit, delivery.End,
	}
	if len(d.made) != len(want) {
		t.Fatalf("effects %v", d.made)
	}
	for i := range want {
		if d.made[i] != want[i] {
			t.Fatalf("effects %v, want %v", d.made, want)
		}
	}
}

// A question that changes nothing writes nothing and moves the timer.
func TestAPendingAnswerMovesTheTimer(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	pending := messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "gw_1", Tries: 1}
	if err := d.handle(create(), pending); err != nil {
		t.Fatal(err)
	}
	version := d.stored.Version
	d.now = d.timer.At
	if err := d.handle(&messages.Resume{}, pending); err != nil {
		t.Fatal(err)
	}
	if d.stored.Version != version || !d.timer.At.After(d.now) {
		t.Fatalf("version %d was %d, timer %s at %s", d.stored.Version, version, d.timer.At, d.now)
	}
}

// A notification that overtakes its payment is no refusal.
func TestAnEarlyNotificationIsKept(t *testing.T) {
	t.Parallel()
	d := newDriver(t)
	d.cfg.Patience = time.Second
	err := d.handle(&messages.Notify{
		Gateway: "primary", EventID: "evt", Kind: messages.NotifyOutcome, Outcome: messages.OutcomeSucceeded, OperationID: "x",
	})
	if !errors.Is(err, delivery.ErrTooEarly) || d.now.Sub(start) < time.Second || d.stored.Version != 0 {
		t.Fatalf("%v after %s", err, d.now.Sub(start))
	}
}
