package stripegw_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/conformance"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

// TestConforms holds the gateway to every rule but those that Stripe does not allow to keep.
func TestConforms(t *testing.T) {
	t.Parallel()
	beyondStripe := map[string]string{
		"lookup-by-key":          "Stripe keeps no record of a capture or refund that it refused",
		"other-currency-refused": "a capture at Stripe names no currency; it is the PaymentIntent's",
		"key-reuse-refused":      "a reference of another payment is refused before Stripe is asked about the key",
		"tenants-apart":          "the tenants of one Stripe account share its keys",
	}
	cards := conformance.Cards{
		Approved: "pm_card_visa",
		Declined: "pm_card_visa_chargeDeclinedInsufficientFunds", DeclineCode: "insufficient_funds",
		Challenged: "pm_card_threeDSecure2Required",
	}
	for _, rule := range conformance.Rules() {
		if rule.Name == "race-confirm" {
			continue // Of confirms at the same time one may find the PaymentIntent before it is confirmed.
		}
		t.Run(rule.Name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			a.patience = 1
			report, err := conformance.Run(t.Context(), &conformance.Target{Gateway: a.open(t)},
				conformance.Options{Cards: cards, Rules: []string{rule.Name}})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range report.Results {
				why, allowed := beyondStripe[rule.Name]
				if failed := r.Verdict == conformance.Fail; failed != allowed {
					t.Errorf("%s: %s %s %s\n%s", r.Verdict, r.Demand, r.Reason, why, strings.Join(r.Evidence, "\n"))
				}
			}
		})
	}
}

func TestAuthorizationIsTakenOver(t *testing.T) {
	t.Parallel()
	g := newAccount(t).open(t)
	want := messages.Outcome{
		Kind: messages.OutcomeSucceeded, GatewayReference: "pi_1", AmountMinor: 1999, CaptureBefore: time.Unix(captureBefore, 0).UTC(),
	}
	p := gatewaytest.NewPayment()
	if diff := cmp.Diff(want, g.Do(t.Context(), p.Authorize("pm_card_visa", 1999))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	challenged := gatewaytest.NewPayment()
	want = messages.Outcome{
		Kind: messages.OutcomeRequiresAction, GatewayReference: "pi_2",
		NextAction: &messages.NextAction{Type: "redirect", URL: "https://hooks.stripe.example/3ds"},
	}
	if diff := cmp.Diff(want, g.Do(t.Context(), challenged.Authorize("pm_card_threeDSecure2Required", 500))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNothingHappensTwiceAfterKeysAreForgotten repeats every kind of operation as a second attempt,
// when Stripe no longer knows the key.
func TestNothingHappensTwiceAfterKeysAreForgotten(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		effect string
		build  func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation
	}{
		"authorize": {"authorize", func(_ *testing.T, _ *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			return p.Authorize("pm_card_visa", 1000)
		}},
		"confirm": {"authorize", func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			p.Reference = g.Do(t.Context(), p.Authorize("pm_card_threeDSecure2Required", 1000)).GatewayReference
			return p.Confirm(1000)
		}},
		"partial capture": {"capture", func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			p.Reference = g.Do(t.Context(), p.Authorize("pm_card_visa", 1000)).GatewayReference
			return p.Capture(300)
		}},
		"final capture": {"capture", func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			p.Reference = g.Do(t.Context(), p.Authorize("pm_card_visa", 1000)).GatewayReference
			return p.CaptureFinally(300)
		}},
		"void": {"void", func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			p.Reference = g.Do(t.Context(), p.Authorize("pm_card_visa", 1000)).GatewayReference
			return p.Void()
		}},
		"refund": {"refund", func(t *testing.T, g *stripegw.Gateway, p *gatewaytest.Payment) messages.Operation {
			p.Reference = g.Do(t.Context(), p.Charge("pm_card_visa", 1000)).GatewayReference
			op := p.Refund(100)
			for range 7 { // On more than one page.
				gatewaytest.Want(t, g.Do(t.Context(), p.Refund(10)), messages.OutcomeSucceeded)
			}
			return op
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			g := a.open(t)
			op := c.build(t, g, gatewaytest.NewPayment())
			first := g.Do(t.Context(), op)
			gatewaytest.Want(t, first, messages.OutcomeSucceeded)
			gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeSucceeded)
			done := a.effect(c.effect)
			a.forget()
			op.Attempt = 2
			if diff := cmp.Diff(first, g.Do(t.Context(), op)); diff != "" {
				t.Errorf("the second attempt is answered otherwise (-first +second):\n%s", diff)
			}
			if again := a.effect(c.effect); again != done {
				t.Errorf("it was done %d times more", again-done)
			}
		})
	}
}

// TestRefusedReplayIsRecognized repeats operations that the state forbids to do twice, within one
// attempt and without the key.
func TestRefusedReplayIsRecognized(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	g := a.open(t)
	p := gatewaytest.NewPayment()
	p.Reference = g.Do(t.Context(), p.Authorize("pm_card_visa", 1000)).GatewayReference
	capture := p.CaptureFinally(700)
	gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeSucceeded)
	refund := p.Refund(700)
	gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomeSucceeded)
	a.forget()
	for _, op := range []messages.Operation{capture, refund} {
		o := g.Do(t.Context(), op)
		gatewaytest.Want(t, o, messages.OutcomeSucceeded)
		if o.AmountMinor != 700 {
			t.Errorf("%s: amount is %d, want 700", op.Kind, o.AmountMinor)
		}
	}
	if captures, refunds := a.effect("capture"), a.effect("refund"); captures != 1 || refunds != 1 {
		t.Errorf("%d captures and %d refunds, want one each", captures, refunds)
	}
}

func TestSecondAttemptIsMadeWhenTheFirstNeverArrived(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	g := a.open(t)
	p := gatewaytest.NewPayment()
	authorize := p.Authorize("pm_card_visa", 1000)
	authorize.Attempt = 2
	o := g.Do(t.Context(), authorize)
	gatewaytest.Want(t, o, messages.OutcomeSucceeded)
	p.Reference = o.GatewayReference
	for _, op := range []messages.Operation{p.Capture(300), p.CaptureFinally(300), p.Refund(600)} {
		op.Attempt = 2
		gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	}
	if captures, refunds := a.effect("capture"), a.effect("refund"); captures != 2 || refunds != 1 {
		t.Errorf("%d captures and %d refunds, want 2 and 1", captures, refunds)
	}
}

func TestConfirmWaitsForTheCustomer(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	a.patience = 1
	g := a.open(t)
	p := gatewaytest.NewPayment()
	challenge := g.Do(t.Context(), p.Authorize("pm_card_threeDSecure2Required", 1000))
	p.Reference = challenge.GatewayReference
	op := p.Confirm(1000)
	a.seen()
	if diff := cmp.Diff(challenge, g.Do(t.Context(), op)); diff != "" {
		t.Errorf("the challenge is not repeated while the customer is not done (-first +now):\n%s", diff)
	}
	gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeNotFound)
	gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	gatewaytest.Want(t, g.Lookup(t.Context(), op), messages.OutcomeSucceeded)
	const look = "GET /v1/payment_intents/pi_1"
	want := []string{look, look, look, "POST /v1/payment_intents/pi_1/confirm", look}
	if diff := cmp.Diff(want, a.seen()); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
