package conformance

import (
	"context"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// slowPatience is the time that the client of a slow operation waits; a slow card takes longer.
const slowPatience = 100 * time.Millisecond

func abandonedRequest(ctx context.Context, t *trial) {
	for _, patience := range []time.Duration{time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond} {
		t.abandon(ctx, t.options.Cards.Approved, patience)
	}
}

func slowRequest(ctx context.Context, t *trial) { t.abandon(ctx, t.options.Cards.Slow, slowPatience) }

func canceledCall(ctx context.Context, t *trial) {
	canceled, cancel := context.WithCancel(ctx)
	cancel()
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	t.want(op, t.call(canceled, op, t.target.Gateway.Do), messages.OutcomeNotSent, messages.OutcomeUnknown)
	t.want(op, t.call(canceled, op, t.target.Gateway.Lookup), messages.OutcomeUnknown)
	t.succeeded(op, t.settled(ctx, op))
}
