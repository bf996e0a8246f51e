package conformance

import (
	"context"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// slowPatience is how long the client of a slow operation waits; a slow card takes longer.
const slowPatience = 100 * time.Millisecond

func abandonedRequest(ctx context.Context, t *trial) {
	for _, patience := range []time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		t.abandon(ctx, t.options.Cards.Approved, patience)
	}
}

func slowRequest(ctx context.Context, t *trial) { t.abandon(ctx, t.options.Cards.Slow, slowPatience) }

// abandon authorizes, gives up after a while, and finds out what became of it.
func (t *trial) abandon(ctx context.Context, paymentMethod string, patience time.Duration) {
	p := t.payment()
	op := p.Authorize(paymentMethod, 1000)
	impatient, cancel := context.WithTimeout(ctx, patience)
	left := t.call(impatient, op, t.target.Gateway.Do)
	cancel()
	t.note("%s by a client that waits for %s: %s", asked(op), patience, told(left))
	t.want(op, left, messages.OutcomeUnknown, messages.OutcomeNotSent, messages.OutcomeSucceeded)
	found := t.until(ctx, "is in progress", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.lookup(ctx, op)
		return o, o.Kind != messages.OutcomeUnknown
	})
	t.want(op, found, messages.OutcomeSucceeded, messages.OutcomeNotFound)
	switch {
	case left.Kind == messages.OutcomeNotSent && found.Kind == messages.OutcomeSucceeded:
		t.breached("%s: it was said not to have been sent, and was done", asked(op))
	case left.Kind == messages.OutcomeSucceeded:
		t.same(op, "a lookup", left, found)
	}
	settled := t.settled(ctx, op)
	t.succeeded(op, settled)
	if found.Kind == messages.OutcomeSucceeded {
		t.same(op, "a replay", found, settled)
	}
	t.same(op, "a lookup at the end", settled, t.lookup(ctx, op))
	p.Reference = settled.GatewayReference
	capture := p.Capture(1000)
	t.succeeded(capture, t.settled(ctx, capture))
	more := p.Capture(1)
	t.declined(more, t.settled(ctx, more))
}

func canceledCall(ctx context.Context, t *trial) {
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	t.want(op, t.call(canceled, op, t.target.Gateway.Do), messages.OutcomeNotSent, messages.OutcomeUnknown)
	t.want(op, t.call(canceled, op, t.target.Gateway.Lookup), messages.OutcomeUnknown)
	t.succeeded(op, t.settled(ctx, op))
}
