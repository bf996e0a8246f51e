package gatewaytest

import (
	"context"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// Cards are the payment methods that a gateway under test knows. An empty one leaves its tests out.
type Cards struct {
	Approved string
	// Declined is declined with DeclineCode.
	Declined    string
	DeclineCode string
	// Challenged requires the customer's action and can be confirmed without it.
	Challenged string
}

// Conformance runs the tests. Every gateway that open returns may be the same one; it is called once for each test.
func Conformance(t *testing.T, cards Cards, open func(t *testing.T) gateway.Gateway) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, gateway.Gateway, Cards){
		"a charge succeeds with a reference and its amount":           charges,
		"a replay is answered as the first request was":               replays,
		"requests at once for one operation bring one effect":         replaysAtOnce,
		"captures stop at what is authorized":                         captures,
		"a final capture releases the rest":                           capturesFinally,
		"refunds stop at what is captured":                            refunds,
		"a void releases the rest once":                               voids,
		"a lookup tells what became of an operation":                  looksUp,
		"a decline is an answer and stays it":                         declines,
		"a challenge is confirmed":                                    confirms,
		"a caller who has given up is not told that it was done":      givesUp,
		"what follows an unknown authorization is declined":           refusesStrangers,
		"the same key with another amount is not answered as success": conflicts,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t), cards) })
	}
}

func charges(t *testing.T, g gateway.Gateway, cards Cards) {
	o := g.Do(t.Context(), NewPayment().Charge(cards.Approved, 1999))
	Want(t, o, messages.OutcomeSucceeded)
	if o.GatewayReference == "" || o.AmountMinor != 1999 {
		t.Errorf("charged %d under reference %q, want 1999 under one", o.AmountMinor, o.GatewayReference)
	}
}

func replays(t *testing.T, g gateway.Gateway, cards Cards) {
	op := NewPayment().Authorize(cards.Approved, 1999)
	first := g.Do(t.Context(), op)
	op.Attempt = 2
	if diff := cmp.Diff(first, g.Do(t.Context(), op)); diff != "" {
		t.Errorf("the replay differs from the first answer (-first +replay):\n%s", diff)
	}
}

func replaysAtOnce(t *testing.T, g gateway.Gateway, cards Cards) {
	p := NewPayment()
	p.Reference = authorize(t, g, p, cards.Approved)
	op := p.Capture(600)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() { g.Do(t.Context(), op) })
	}
	all.Wait()
	Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Capture(401)))
	Want(t, g.Do(t.Context(), p.Capture(400)), messages.OutcomeSucceeded)
}

func captures(t *testing.T, g gateway.Gateway, cards Cards) {
	p := NewPayment()
	p.Reference = authorize(t, g, p, cards.Approved)
	WantDecline(t, g.Do(t.Context(), p.Capture(1001)))
	Want(t, g.Do(t.Context(), p.Capture(700)), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Capture(301)))
	Want(t, g.Do(t.Context(), p.Capture(300)), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Capture(1)))
}

func capturesFinally(t *testing.T, g gateway.Gateway, cards Cards) {
	p := NewPayment()
	p.Reference = authorize(t, g, p, cards.Approved)
	Want(t, g.Do(t.Context(), p.CaptureFinally(700)), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Capture(1)))
	WantDecline(t, g.Do(t.Context(), p.Void()))
}

func refunds(t *testing.T, g gateway.Gateway, cards Cards) {
	p := NewPayment()
	charged := g.Do(t.Context(), p.Charge(cards.Approved, 10000))
	Want(t, charged, messages.OutcomeSucceeded)
	p.Reference = charged.GatewayReference
	Want(t, g.Do(t.Context(), p.Refund(6000)), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Refund(6000)))
	Want(t, g.Do(t.Context(), p.Refund(4000)), messages.OutcomeSucceeded)
}

func voids(t *testing.T, g gateway.Gateway, cards Cards) {
	p := NewPayment()
	p.Reference = authorize(t, g, p, cards.Approved)
	Want(t, g.Do(t.Context(), p.Capture(400)), messages.OutcomeSucceeded)
	Want(t, g.Do(t.Context(), p.Void()), messages.OutcomeSucceeded)
	WantDecline(t, g.Do(t.Context(), p.Void()))
	WantDecline(t, g.Do(t.Context(), p.Capture(1)))
	Want(t, g.Do(t.Context(), p.Refund(400)), messages.OutcomeSucceeded)
}

func looksUp(t *testing.T, g gateway.Gateway, cards Cards) {
	op := NewPayment().Authorize(cards.Approved, 1999)
	Want(t, g.Lookup(t.Context(), op), messages.OutcomeNotFound)
	first := g.Do(t.Context(), op)
	if diff := cmp.Diff(first, g.Lookup(t.Context(), op)); diff != "" {
		t.Errorf("the lookup differs from the answer (-answer +lookup):\n%s", diff)
	}
}

func declines(t *testing.T, g gateway.Gateway, cards Cards) {
	if cards.Declined == "" {
		return
	}
	op := NewPayment().Authorize(cards.Declined, 1999)
	first := g.Do(t.Context(), op)
	WantDecline(t, first)
	if first.Decline.Code != cards.DeclineCode {
		t.Errorf("declined with %q, want %q", first.Decline.Code, cards.DeclineCode)
	}
	if diff := cmp.Diff(first, g.Do(t.Context(), op)); diff != "" {
		t.Errorf("the replay differs from the first answer (-first +replay):\n%s", diff)
	}
}

func confirms(t *testing.T, g gateway.Gateway, cards Cards) {
	if cards.Challenged == "" {
		return
	}
	p := NewPayment()
	o := g.Do(t.Context(), p.Authorize(cards.Challenged, 1000))
	Want(t, o, messages.OutcomeRequiresAction)
	if o.NextAction == nil || o.NextAction.URL == "" || o.GatewayReference == "" {
		t.Fatalf("the challenge leads nowhere: %+v", o)
	}
	p.Reference = o.GatewayReference
	WantDecline(t, g.Do(t.Context(), p.Capture(1000)))
	Want(t, g.Do(t.Context(), p.Confirm(1000)), messages.OutcomeSucceeded)
	Want(t, g.Do(t.Context(), p.Capture(1000)), messages.OutcomeSucceeded)
}

func givesUp(t *testing.T, g gateway.Gateway, cards Cards) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	op := NewPayment().Authorize(cards.Approved, 1000)
	if o := g.Do(ctx, op); o.Kind != messages.OutcomeNotSent && o.Kind != messages.OutcomeUnknown {
		t.Errorf("Do is %s, want not_sent or unknown", o.Kind)
	}
	Want(t, g.Lookup(ctx, op), messages.OutcomeUnknown)
}

func refusesStrangers(t *testing.T, g gateway.Gateway, _ Cards) {
	p := NewPayment()
	p.Reference = "no-such-authorization"
	WantDecline(t, g.Do(t.Context(), p.Capture(1)))
	WantDecline(t, g.Do(t.Context(), p.Void()))
	WantDecline(t, g.Do(t.Context(), p.Refund(1)))
}

func conflicts(t *testing.T, g gateway.Gateway, cards Cards) {
	op := NewPayment().Authorize(cards.Approved, 1000)
	Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	other := op
	other.AmountMinor = 2000
	Want(t, g.Do(t.Context(), other), messages.OutcomeUnknown)
	o := g.Do(t.Context(), op)
	Want(t, o, messages.OutcomeSucceeded)
	if o.AmountMinor != 1000 {
		t.Errorf("authorized %d, want the first request's 1000", o.AmountMinor)
	}
}

// authorize sets 1000 aside and returns the reference.
func authorize(t *testing.T, g gateway.Gateway, p *Payment, paymentMethod string) string {
	t.Helper()
	o := g.Do(t.Context(), p.Authorize(paymentMethod, 1000))
	Want(t, o, messages.OutcomeSucceeded)
	return o.GatewayReference
}

// Want ends the test unless the outcome is of that kind.
func Want(t testing.TB, o messages.Outcome, kind messages.OutcomeKind) {
	t.Helper()
	if o.Kind != kind {
		t.Fatalf("outcome is %s (%s, decline %+v), want %s", o.Kind, o.Detail, o.Decline, kind)
	}
}

// WantDecline ends the test unless the outcome is a decline that says why.
func WantDecline(t testing.TB, o messages.Outcome) {
	t.Helper()
	Want(t, o, messages.OutcomeDeclined)
	if o.Decline == nil || o.Decline.Code == "" || o.Decline.Class == "" {
		t.Fatalf("declined without saying why: %+v", o.Decline)
	}
}
