package conformance

import (
	"context"
	"net/url"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/protocol"
)

func partialCaptures(ctx context.Context, t *trial) {
	p := t.authorized(ctx, 1000)
	t.succeed(ctx, p.Capture(700))
	t.succeed(ctx, p.Capture(300))
	t.decline(ctx, p.Capture(1))
	t.refund(ctx, p.Refund(1000)) // That much was captured.
}

// sizes are the amounts with which limits are checked. A server may have a tolerance above one.
func (t *trial) sizes() []int64 { return []int64{1000, 100, 10_000, t.options.AmountMaxMinor} }

// beyond returns amounts over a limit, by one minor unit and by a tenth.
func beyond(limit int64) []int64 { return []int64{limit + 1, limit + limit/10} }

func overCaptureRefused(ctx context.Context, t *trial) {
	for _, amount := range t.sizes() {
		p := t.authorized(ctx, amount)
		for _, more := range beyond(amount) {
			t.decline(ctx, p.Capture(more))
			t.decline(ctx, p.CaptureFinally(more))
		}
		part := amount / 10 * 7
		t.succeed(ctx, p.Capture(part))
		for _, more := range beyond(amount - part) {
			t.decline(ctx, p.Capture(more))
			t.decline(ctx, p.CaptureFinally(more))
		}
		t.decline(ctx, p.Refund(part+1)) // None of those was captured.
	}
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

func captureAgainstVoid(ctx context.Context, t *trial) {
	for range rounds {
		p := t.authorized(ctx, 1300)
		if one := t.race(ctx, p.Capture(1300), p.Void()); one != 1 {
			t.breached("%d of a capture of all 1300 and a void at the same time came through, want one", one)
		}
		t.decline(ctx, p.Capture(1))
	}
}

// lapseMax is the longest wait for an authorization to lapse.
const lapseMax = time.Minute

func lapsedNotCaptured(ctx context.Context, t *trial) {
	p := t.payment()
	op := p.Authorize(t.options.Cards.Lapsing, 1000)
	o := t.succeed(ctx, op)
	if t.over(ctx) {
		return
	}
	rest := o.CaptureBefore.Sub(t.options.Now())
	if o.CaptureBefore.IsZero() || rest > lapseMax {
		t.breached("%s: it lapses at %s, want within %s", asked(op), o.CaptureBefore.Format(time.RFC3339), lapseMax)
		return
	}
	lapsed := time.NewTimer(rest + t.options.ClockDifference)
	defer lapsed.Stop()
	select {
	case <-lapsed.C:
	case <-ctx.Done():
		return
	}
	t.note("capture_before, %s, has passed", o.CaptureBefore.UTC().Format(time.RFC3339Nano))
	p.Reference = o.GatewayReference
	t.decline(ctx, p.Capture(1000))
	t.decline(ctx, p.Capture(1))
	t.decline(ctx, p.Refund(1))
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
	void := p.Void()
	o := t.decline(ctx, void)
	if o.Decline != nil && (o.Decline.Code == "authorization_voided" || o.Decline.Code == "authorization_expired") {
		t.breached("%s: %s says that nothing is held, and it was captured", asked(void), o.Decline.Code)
	}
	t.refund(ctx, p.Refund(1000))
}

func partialRefunds(ctx context.Context, t *trial) {
	p := t.charged(ctx, 10000)
	t.refund(ctx, p.Refund(6000))
	t.refund(ctx, p.Refund(4000))
	t.decline(ctx, p.Refund(1))
}

func overRefundRefused(ctx context.Context, t *trial) {
	for _, amount := range t.sizes() {
		p := t.authorized(ctx, amount)
		t.decline(ctx, p.Refund(1)) // Only captured money can be refunded.
		t.succeed(ctx, p.Capture(amount))
		for _, more := range beyond(amount) {
			t.decline(ctx, p.Refund(more))
		}
		part := amount / 10 * 6
		t.refund(ctx, p.Refund(part))
		for _, more := range beyond(amount - part) {
			t.decline(ctx, p.Refund(more))
		}
	}
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
	t.same(op, "a lookup", o, t.lookup(ctx, op))
	p.Reference = o.GatewayReference
	t.decline(ctx, p.Capture(1000))
	confirm := p.Confirm(1000)
	confirmed := t.succeed(ctx, confirm)
	t.same(confirm, "a replay", confirmed, t.do(ctx, again(confirm)))
	t.succeed(ctx, p.Capture(1000))
	t.decline(ctx, p.Capture(1))
}

func nextActionUsable(ctx context.Context, t *trial) {
	op := t.payment().Authorize(t.options.Cards.Challenged, 1000)
	o := t.do(ctx, op)
	t.want(op, o, messages.OutcomeRequiresAction)
	if t.over(ctx) {
		return
	}
	a := o.NextAction
	switch {
	case a == nil || a.URL == "" && a.ClientSecret == "" || o.GatewayReference == "":
		t.breached("%s: the challenge has no next action with a URL or a secret, or no reference", asked(op))
	case a.Type != "redirect" && a.Type != "three_d_secure":
		t.breached("%s: the type of the next action is %q", asked(op), protocol.Shown(a.Type))
	case a.URL != "":
		if u, err := url.Parse(a.URL); err != nil || u.Scheme != "https" || u.Host == "" {
			t.breached("%s: the customer is sent to %q, which is no https URL", asked(op), protocol.Shown(a.URL))
		}
	}
}
