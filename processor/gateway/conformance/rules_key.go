package conformance

import (
	"context"
	"sync"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

// atOnce is the number of requests that concurrent rules make at the same time, rounds that of
// repetitions.
const (
	atOnce = 8
	rounds = 3
)

func chargeSucceeds(ctx context.Context, t *trial) {
	t.succeed(ctx, t.payment().Charge(t.options.Cards.Approved, 1999))
	t.succeed(ctx, t.payment().Authorize(t.options.Cards.Approved, 1999))
}

func replaySameAnswer(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Approved, 1000)
	first := t.succeed(ctx, op)
	t.same(op, "a replay", first, t.do(ctx, again(op)))
	p.Reference = first.GatewayReference
	capture := p.Capture(1000)
	first = t.succeed(ctx, capture)
	t.same(capture, "a replay", first, t.do(ctx, again(capture)))
	refund := p.Refund(600)
	first = t.refund(ctx, refund)
	t.same(refund, "a replay", first, t.do(ctx, again(refund)))
	t.decline(ctx, p.Refund(401)) // The replays gave nothing back.
}

// again is the same operation as a later attempt asks for it, perhaps under a new name of the
// gateway.
func again(op messages.Operation) messages.Operation {
	op.Attempt++
	op.Gateway = "renamed"
	return op
}

func replayConcurrent(ctx context.Context, t *trial) {
	for range rounds {
		p := t.authorized(ctx, 1000)
		capture := p.Capture(400)
		var all sync.WaitGroup
		answers := make([]messages.Outcome, atOnce)
		for i := range answers {
			all.Go(func() { answers[i] = t.settled(ctx, capture) })
		}
		all.Wait()
		for _, o := range answers {
			t.succeeded(capture, o)
			t.same(capture, "a request at the same time", answers[0], o)
		}
		t.decline(ctx, p.Capture(601))
		t.succeed(ctx, p.Capture(600))
	}
}

func keyReuseRefused(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Approved, 1000)
	first := t.succeed(ctx, op)
	for name, change := range map[string]func(*messages.Operation){
		"another amount":   func(op *messages.Operation) { op.AmountMinor = 2000 },
		"another currency": func(op *messages.Operation) { op.Currency = t.options.OtherCurrency },
		"a capture":        func(op *messages.Operation) { op.Capture = true },
	} {
		other := op
		change(&other)
		t.note("the same key with %s", name)
		t.want(other, t.do(ctx, other), messages.OutcomeUnknown)
		if t.target.http != nil {
			t.refused(ctx, other, protocol.CodeIdempotencyConflict)
		}
	}
	t.same(op, "a replay afterwards", first, t.do(ctx, op))
	t.same(op, "a lookup afterwards", first, t.lookup(ctx, op))
}

func lookupByKey(ctx context.Context, t *trial) {
	p := t.payment()
	told := func(op messages.Operation, first messages.Outcome) messages.Outcome {
		t.same(op, "a lookup", first, t.lookup(ctx, op))
		return first
	}
	authorize := p.Authorize(t.options.Cards.Approved, 1000)
	p.Reference = told(authorize, t.succeed(ctx, authorize)).GatewayReference
	capture := p.Capture(600)
	told(capture, t.succeed(ctx, capture))
	refused := p.Capture(401)
	told(refused, t.decline(ctx, refused))
	void := p.Void()
	told(void, t.succeed(ctx, void))
	refund := p.Refund(600)
	told(refund, t.refund(ctx, refund))
	t.same(authorize, "a lookup at the end", t.lookup(ctx, authorize), t.lookup(ctx, authorize))
}

func lookupUnknownKey(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Approved, 1000)
	for range 2 {
		t.want(op, t.lookup(ctx, op), messages.OutcomeNotFound)
	}
	p.Reference = t.succeed(ctx, op).GatewayReference
	capture := p.Capture(1000)
	t.want(capture, t.lookup(ctx, capture), messages.OutcomeNotFound)
	t.succeed(ctx, capture)
}

func lookupInProgress(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Slow, 1000)
	done := make(chan messages.Outcome, 1)
	go func() { done <- t.do(ctx, op) }()
	known := false
	answer := t.until(ctx, "is not answered", func(ctx context.Context) (messages.Outcome, bool) {
		o := t.lookup(ctx, op)
		if known && o.Kind == messages.OutcomeNotFound {
			t.breached("%s: a lookup says not_found after an earlier one had found it", asked(op))
		}
		known = known || o.Kind != messages.OutcomeNotFound
		select {
		case o = <-done:
			return o, true
		default:
			return o, false
		}
	})
	if t.over(ctx) {
		return
	}
	t.succeeded(op, answer)
	t.same(op, "a lookup", answer, t.lookup(ctx, op))
}
