package conformance

import (
	"context"

	"github.com/seed-384b1f8a/tender/messages"
)

func partialCaptures(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	t.succeed(ctx, p.Capture(700))
	t.succeed(ctx, p.Capture(300))
	t.decline(ctx, p.Capture(1))
	t.refund(ctx, p.Refund(1000)) // That much was captured.
}

func overCaptureRefused(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	t.decline(ctx, p.Capture(1001))
	t.succeed(ctx, p.Capture(700))
	t.decline(ctx, p.Capture(301))
	t.decline(ctx, p.Refund(701)) // None of those was captured.
}

func finalCaptureReleases(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	t.succeed(ctx, p.CaptureFinally(700))
	t.decline(ctx, p.Capture(1))
	t.decline(ctx, p.Void())
	t.decline(ctx, p.Refund(701))
	t.refund(ctx, p.Refund(700))
}

func concurrentCaptures(ctx context.Context, t *trial) {
	for range rounds {
		p := t.authorized(ctx, 1000)
		if one := t.race(ctx, p.Capture(600), p.Capture(600)); one != 1 {
			t.breached("%d of two captures of 600 on 1000 at the same time came through, want one", one)
		}
		t.decline(ctx, p.Capture(401))
		t.succeed(ctx, p.Capture(400))
	}
}

func voidReleases(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	t.succeed(ctx, p.Capture(400))
	t.succeed(ctx, p.Void())
	t.decline(ctx, p.Capture(1))
	t.decline(ctx, p.Void())
	t.decline(ctx, p.Refund(401))
	t.refund(ctx, p.Refund(400))

	untouched := t.authorized(ctx, 1000)
	t.succeed(ctx, untouched.Void())
	t.decline(ctx, untouched.Capture(1000))
}

func voidAfterCaptureRefused(ctx context.Context, t *trial) {
	p := t.charged(ctx, 1000)
	t.decline(ctx, p.Void())
	t.refund(ctx, p.Refund(1000))
}

func partialRefunds(ctx context.Context, t *trial) {
	p := t.charged(ctx, 10000)
	t.refund(ctx, p.Refund(6000))
	t.refund(ctx, p.Refund(4000))
	t.decline(ctx, p.Refund(1))
}

func overRefundRefused(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 10000)
	t.decline(ctx, p.Refund(1)) // Only captured money can be refunded.
	t.succeed(ctx, p.Capture(10000))
	t.decline(ctx, p.Refund(10001))
	t.refund(ctx, p.Refund(6000))
	t.decline(ctx, p.Refund(4001))
}

func concurrentRefunds(ctx context.Context, t *trial) {
	for range rounds {
		p := t.charged(ctx, 10000)
		if one := t.race(ctx, p.Refund(6000), p.Refund(6000)); one != 1 {
			t.breached("%d of two refunds of 6000 on 10000 at the same time came through, want one", one)
		}
		t.decline(ctx, p.Refund(4001))
		t.refund(ctx, p.Refund(4000))
	}
}

func otherCurrencyRefused(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	elsewhere := p.Capture(1000)
	elsewhere.Currency = t.options.OtherCurrency
	t.decline(ctx, elsewhere)
	t.succeed(ctx, p.Capture(1000))
	elsewhere = p.Refund(1000)
	elsewhere.Currency = t.options.OtherCurrency
	t.decline(ctx, elsewhere)
	t.refund(ctx, p.Refund(1000))
}

func unknownReferenceRefused(ctx context.Context, t *trial) {
	p := t.payment()
	p.Reference = "no-such-authorization"
	t.decline(ctx, p.Capture(1))
	t.decline(ctx, p.Void())
	t.decline(ctx, p.Refund(1))
}

func declineStable(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Declined, 1999)
	first := t.decline(ctx, op)
	if code := t.options.Cards.DeclineCode; first.Decline != nil && code != "" && first.Decline.Code != code {
		t.breached("%s: declined with %q, want %q", asked(op), first.Decline.Code, code)
	}
	t.same(op, "a replay", first, t.do(ctx, again(op)))
	t.same(op, "a lookup", first, t.lookup(ctx, op))
}

func challengeConfirmed(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Challenged, 1000)
	o := t.do(ctx, op)
	t.want(op, o, messages.OutcomeRequiresAction)
	if o.NextAction == nil || o.NextAction.URL == "" || o.GatewayReference == "" {
		t.breached("%s: the challenge has no next action with a url, or no reference", asked(op))
	}
	t.same(op, "a lookup", o, t.lookup(ctx, op))
	p.Reference = o.GatewayReference
	t.decline(ctx, p.Capture(1000))
	confirm := p.Confirm(1000)
	confirmed := t.succeed(ctx, confirm)
	t.same(confirm, "a replay", confirmed, t.do(ctx, again(confirm)))
	t.succeed(ctx, p.Capture(1000))
	t.decline(ctx, p.Capture(1))
}
