package sim_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

func TestDeclinedCards(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		for token, code := range map[string]string{
			"pm_card_visa_chargeDeclined":                  "generic_decline",
			"pm_card_visa_chargeDeclinedInsufficientFunds": "insufficient_funds",
			"pm_card_visa_chargeDeclinedLostCard":          "lost_card",
			"pm_card_visa_chargeDeclinedStolenCard":        "stolen_card",
			"pm_card_chargeDeclinedExpiredCard":            "expired_card",
			"pm_card_chargeDeclinedIncorrectCvc":           "incorrect_cvc",
			"pm_card_chargeDeclinedProcessingError":        "processing_error",
		} {
			want := gateway.ClassifyDecline(code, "", "")
			o := g.Do(t.Context(), gatewaytest.NewPayment().Charge(token, 1999))
			if diff := cmp.Diff(&want, o.Decline); o.Kind != messages.OutcomeDeclined || diff != "" {
				t.Errorf("%s is %s (-want +got):\n%s", token, o.Kind, diff)
			}
		}
		if entries := s.Ledger(); len(entries) != 0 {
			t.Errorf("declines left %d effects", len(entries))
		}
	})
}

func TestApprovedCards(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, sim.Config{})
	for _, token := range []string{"pm_card_visa", "pm_card_mastercard", "pm_card_createDispute", "pm_card_pendingRefund", "pm_card_refundFail"} {
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge(token, 1999)), messages.OutcomeSucceeded)
	}
	for _, token := range []string{"pm_card_authenticationRequired", "pm_card_threeDSecure2Required"} {
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge(token, 1999)), messages.OutcomeRequiresAction)
	}
}

func TestTypingErrorsShow(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, _ *sim.Simulator, g gateway.Gateway) {
		for _, token := range []string{
			"", "visa", "pm_card_vissa", "sim_", "sim_charge_than_timeout", "sim_429_", "sim_429_0", "sim_429_1001", "sim_429_x", "sim_429@",
			"sim_429@capture@refund", "sim_429@cancel", "sim_slow", "sim_slow_0", "sim_slow_-5", "sim_slow_600001", "sim_slow_1.5",
			"sim_wrong_amount_2", "sim_webhook_last", "sim_webhook_duplicate_2", "sim_capture_reversed_2", "sim_capture_reversed@capture", "pm_card_visa@capture", "@capture",
		} {
			o := g.Do(t.Context(), gatewaytest.NewPayment().Authorize(token, 1999))
			if o.Kind != messages.OutcomeDeclined || o.Decline.Code != "invalid_request" || o.Decline.Class != messages.DeclineNeverRetry {
				t.Errorf("payment method %q is %s, want declined as an invalid request", token, o.Kind)
			}
			if !strings.Contains(o.Detail, fmt.Sprintf("%q", token)) {
				t.Errorf("detail %q does not name payment method %q", o.Detail, token)
			}
		}
	})
}

func TestInvalidRequestsLeaveNothing(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		p := gatewaytest.NewPayment()
		for name, change := range map[string]func(*messages.Operation){
			"kind":         func(op *messages.Operation) { op.Kind = "cancel" },
			"payment":      func(op *messages.Operation) { op.PaymentID = [16]byte{} },
			"no amount":    func(op *messages.Operation) { op.AmountMinor = 0 },
			"under zero":   func(op *messages.Operation) { op.AmountMinor = -1 },
			"currency":     func(op *messages.Operation) { op.Currency = "DOLLARS" },
			"no reference": func(op *messages.Operation) { op.Kind = messages.OperationCapture },
			"too little":   func(op *messages.Operation) { op.PaymentMethod, op.AmountMinor = "sim_wrong_amount", 1 },
			"long id":      func(op *messages.Operation) { op.ID = strings.Repeat("x", 256) },
		} {
			op := p.Authorize("pm_card_visa", 1000)
			good := op
			change(&op)
			if o := g.Do(t.Context(), op); o.Kind != messages.OutcomeDeclined || o.Decline.Code != "invalid_request" {
				t.Errorf("%s: %s (%s), want declined as an invalid request", name, o.Kind, o.Detail)
			}
			gatewaytest.Want(t, g.Do(t.Context(), good), messages.OutcomeSucceeded)
		}
		p.Reference = s.Ledger()[0].GatewayReference
		euros := p.Capture(1000)
		euros.Currency = "EUR"
		if o := g.Do(t.Context(), euros); o.Kind != messages.OutcomeDeclined || o.Decline.Code != "invalid_request" {
			t.Errorf("a capture in another currency is %s, want declined as an invalid request", o.Kind)
		}
		euros.Currency = "USD"
		gatewaytest.Want(t, g.Do(t.Context(), euros), messages.OutcomeSucceeded)
	})
}

func TestPendingRefundComesThrough(t *testing.T) {
	t.Parallel()
	bothForms(t, sim.Config{PendingLookups: 2}, func(t *testing.T, s *sim.Simulator, g gateway.Gateway) {
		p := gatewaytest.NewPayment()
		p.Reference = g.Do(t.Context(), p.Charge("pm_card_pendingRefund", 10000)).GatewayReference
		refund := p.Refund(6000)
		gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomePending)
		gatewaytest.WantDecline(t, g.Do(t.Context(), p.Refund(4001)))
		for range 2 {
			gatewaytest.Want(t, g.Lookup(t.Context(), refund), messages.OutcomePending)
			gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomePending)
		}
		if effects(s, refund) != 0 {
			t.Error("a pending refund has taken effect")
		}
		for range 2 {
			gatewaytest.Want(t, g.Lookup(t.Context(), refund), messages.OutcomeSucceeded)
			gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomeSucceeded)
		}
		if total, _ := s.Snapshot().Payment(p.ID()); total.RefundedMinor != 6000 || effects(s, refund) != 1 {
			t.Errorf("refunded %d with %d effects, want 6000 with one", total.RefundedMinor, effects(s, refund))
		}
		gatewaytest.WantDecline(t, g.Do(t.Context(), p.Refund(4001)))
		gatewaytest.Want(t, g.Do(t.Context(), p.Refund(4000)), messages.OutcomePending)
	})
}

func TestRefundFails(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, sim.Config{})
	p := gatewaytest.NewPayment()
	p.Reference = s.Do(t.Context(), p.Charge("pm_card_refundFail", 10000)).GatewayReference
	if o := s.Do(t.Context(), p.Refund(6000)); o.Kind != messages.OutcomeDeclined || o.Decline.Code != "refund_failed" {
		t.Errorf("the refund is %s, want declined with refund_failed", o.Kind)
	}
}

func TestTwoRefundsAtOnce(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, sim.Config{})
	for range 100 {
		p := gatewaytest.NewPayment()
		p.Reference = s.Do(t.Context(), p.Charge("pm_card_visa", 10000)).GatewayReference
		var refunds sync.WaitGroup
		for range 2 {
			op := p.Refund(6000)
			refunds.Go(func() { s.Do(t.Context(), op) })
		}
		refunds.Wait()
		if total, _ := s.Snapshot().Payment(p.ID()); total.RefundedMinor != 6000 {
			t.Fatalf("refunded %d of two times 6000 on 10000, want 6000", total.RefundedMinor)
		}
	}
}

func TestRefusalsAfterTheEnd(t *testing.T) {
	t.Parallel()
	refused := func(o messages.Outcome, code string) {
		t.Helper()
		if o.Kind != messages.OutcomeDeclined || o.Decline.Code != code {
			t.Errorf("%s with %+v, want declined with %s", o.Kind, o.Decline, code)
		}
	}
	s := newSimulator(t, sim.Config{})
	p := gatewaytest.NewPayment()
	p.Reference = s.Do(t.Context(), p.Authorize("pm_card_threeDSecure2Required", 1000)).GatewayReference
	refused(s.Do(t.Context(), p.Capture(1)), "authentication_pending")
	refused(s.Do(t.Context(), p.Confirm(999)), "invalid_request")
	gatewaytest.Want(t, s.Do(t.Context(), p.Void()), messages.OutcomeSucceeded)
	refused(s.Do(t.Context(), p.Confirm(1000)), "authorization_voided")
	refused(s.Do(t.Context(), p.Capture(1)), "authorization_voided")
	refused(s.Do(t.Context(), p.Void()), "nothing_to_void")

	p = gatewaytest.NewPayment()
	p.Reference = s.Do(t.Context(), p.Authorize("pm_card_visa", 1000)).GatewayReference
	refused(s.Do(t.Context(), p.Confirm(1000)), "already_confirmed")
	refused(s.Do(t.Context(), p.Refund(1)), "amount_exceeds_captured")
	p.Reference = "auth_of_another"
	refused(s.Do(t.Context(), p.Capture(1)), "authorization_not_found")
}

func TestAuthorizationLapses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{AuthorizationLifetime: time.Hour})
		p := gatewaytest.NewPayment()
		o := s.Do(t.Context(), p.Authorize("pm_card_visa", 1000))
		if want := time.Now().Add(time.Hour); !o.CaptureBefore.Equal(want) {
			t.Errorf("to be captured before %s, want %s", o.CaptureBefore, want)
		}
		p.Reference = o.GatewayReference
		pass(time.Hour)
		gatewaytest.Want(t, s.Do(t.Context(), p.Capture(400)), messages.OutcomeSucceeded)
		pass(time.Second)
		if o := s.Do(t.Context(), p.Capture(400)); o.Kind != messages.OutcomeDeclined || o.Decline.Code != "authorization_expired" {
			t.Errorf("a capture too late is %s, want declined with authorization_expired", o.Kind)
		}
		gatewaytest.Want(t, s.Do(t.Context(), p.Void()), messages.OutcomeSucceeded)
	})
}

// TestLimitsHold throws operations of any kind and amount at a few payments at once.
func TestLimitsHold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		s, err := sim.New(sim.Config{})
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		p := gatewaytest.NewPayment()
		method := rapid.SampledFrom([]string{"pm_card_visa", "pm_card_pendingRefund", "sim_wrong_amount@capture"}).Draw(rt, "method")
		p.Reference = s.Do(t.Context(), p.Authorize(method, 1000)).GatewayReference
		var running sync.WaitGroup
		for range rapid.IntRange(1, 20).Draw(rt, "operations") {
			amount := rapid.Int64Range(1, 1200).Draw(rt, "amount")
			op := rapid.SampledFrom([]func() messages.Operation{
				func() messages.Operation { return p.Capture(amount) },
				func() messages.Operation { return p.CaptureFinally(amount) },
				func() messages.Operation { return p.Refund(amount) },
				func() messages.Operation { return p.Void() },
			}).Draw(rt, "operation")()
			for range rapid.IntRange(1, 3).Draw(rt, "times") {
				running.Go(func() {
					s.Do(t.Context(), op)
					s.Lookup(t.Context(), op)
				})
			}
		}
		running.Wait()
		snapshot := s.Snapshot()
		total, _ := snapshot.Payment(p.ID())
		if total.CapturedMinor+total.ReleasedMinor > total.AuthorizedMinor || total.RefundedMinor > total.CapturedMinor {
			rt.Fatalf("the limits are broken: %+v", total)
		}
		for _, o := range snapshot.Operations {
			if o.Effects > 1 {
				rt.Fatalf("operation %s took effect %d times", o.OperationID, o.Effects)
			}
		}
		for i, e := range snapshot.Entries {
			if e.Sequence != int64(i)+1 {
				rt.Fatalf("entry %d has sequence %d", i, e.Sequence)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]sim.Config{
		"a hang without bound":       {Hang: time.Hour},
		"a negative hang":            {Hang: -1},
		"a rest in fractions":        {RetryAfter: 1500 * time.Millisecond},
		"a negative rest":            {RetryAfter: -time.Second},
		"a negative lifetime":        {AuthorizationLifetime: -1},
		"fewer lookups than nothing": {PendingLookups: -2},
	} {
		if _, err := sim.New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
