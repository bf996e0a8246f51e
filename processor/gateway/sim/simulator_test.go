package sim_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim/simtest"
)

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
	refused(s.Do(t.Context(), p.Void()), "authorization_voided")

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

// pass lets time go by on a bubble's clock.
func pass(d time.Duration) { <-time.After(d) }

func TestSlowTakesEffectWithoutItsClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{})
		op := gatewaytest.NewPayment().Charge("sim_slow_5000", 1999)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		gatewaytest.Want(t, s.Do(ctx, op), messages.OutcomeUnknown)
		for name, o := range map[string]messages.Outcome{"lookup": s.Lookup(t.Context(), op), "replay": s.Do(t.Context(), op)} {
			if o.Kind != messages.OutcomeUnknown || !strings.HasPrefix(o.Detail, "in_progress") {
				t.Errorf("the %s meanwhile is %s (%s), want unknown, in progress", name, o.Kind, o.Detail)
			}
		}
		pass(5 * time.Second)
		synctest.Wait()
		gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeSucceeded)
		if simtest.Effects(s, op) != 1 {
			t.Errorf("%d effects, want one", simtest.Effects(s, op))
		}
	})
}

func TestCloseReleasesWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	for token, effectsWanted := range map[string]int{"sim_slow_60000": 0, "sim_charge_then_timeout": 1, "sim_timeout_no_charge": 0} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, err := sim.New(sim.Config{})
				if err != nil {
					t.Fatal(err)
				}
				op := gatewaytest.NewPayment().Charge(token, 1999)
				answered := make(chan messages.Outcome, 1)
				began := time.Now()
				go func() { answered <- s.Do(t.Context(), op) }()
				synctest.Wait()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				<-answered
				if waited := time.Since(began); waited != 0 {
					t.Errorf("released after %s, want at once", waited)
				}
				if simtest.Effects(s, op) != effectsWanted {
					t.Errorf("%d effects, want %d", simtest.Effects(s, op), effectsWanted)
				}
				gatewaytest.Want(t, s.Do(t.Context(), op), messages.OutcomeUnknown)
				gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomeUnknown)
			})
		})
	}
}

func TestHangEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{Hang: time.Second})
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_charge_then_timeout", 1999)), messages.OutcomeSucceeded)
		gatewaytest.Want(t, s.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_timeout_no_charge", 1999)), messages.OutcomeUnknown)
	})
}

// TestOursLookupsTellTheAuthorization holds the sums of an authorization in a lookup to the ledger.
func TestOursLookupsTellTheAuthorization(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{AuthorizationLifetime: time.Hour})
		want := func(op messages.Operation, captured, released int64) {
			t.Helper()
			state := s.Lookup(t.Context(), op).Authorization
			if state == nil || *state != (messages.AuthorizationState{CapturedMinor: captured, ReleasedMinor: released}) {
				t.Errorf("the lookup says %+v, want %d captured and %d released", state, captured, released)
			}
		}
		p := gatewaytest.NewPayment()
		authorize := p.Authorize("pm_card_visa", 1000)
		answer := s.Do(t.Context(), authorize)
		if answer.Authorization != nil {
			t.Errorf("the answer itself says %+v", answer.Authorization)
		}
		p.Reference = answer.GatewayReference
		want(authorize, 0, 0)
		capture := p.Capture(400)
		gatewaytest.Want(t, s.Do(t.Context(), capture), messages.OutcomeSucceeded)
		want(authorize, 400, 0)
		if state := s.Lookup(t.Context(), capture).Authorization; state != nil {
			t.Errorf("the lookup of a capture says %+v", state)
		}
		pass(time.Hour + time.Second) // It lapses.
		want(authorize, 400, 600)
		gatewaytest.Want(t, s.Do(t.Context(), p.Void()), messages.OutcomeSucceeded)
		want(authorize, 400, 600)

		p = gatewaytest.NewPayment()
		authorize = p.Authorize("pm_card_threeDSecure2Required", 1000)
		p.Reference = s.Do(t.Context(), authorize).GatewayReference
		want(authorize, 0, 0)
		confirm := p.Confirm(1000)
		gatewaytest.Want(t, s.Do(t.Context(), confirm), messages.OutcomeSucceeded)
		gatewaytest.Want(t, s.Do(t.Context(), p.CaptureFinally(300)), messages.OutcomeSucceeded)
		want(authorize, 300, 700)
		want(confirm, 300, 700)

		p = gatewaytest.NewPayment()
		authorize = p.Authorize("pm_card_threeDSecure2Required", 1000)
		p.Reference = s.Do(t.Context(), authorize).GatewayReference
		gatewaytest.Want(t, s.Do(t.Context(), p.Void()), messages.OutcomeSucceeded)
		want(authorize, 0, 1000) // Nothing can be held any more, though nothing ever was.
	})
}

func TestAsyncOperationsAreDoneLater(t *testing.T) {
	t.Parallel()
	s := newSimulator(t, sim.Config{})
	p := gatewaytest.NewPayment()
	ended := func(op messages.Operation, kind messages.OutcomeKind) messages.Outcome {
		t.Helper()
		gatewaytest.Want(t, s.Do(t.Context(), op), messages.OutcomePending)
		gatewaytest.Want(t, s.Lookup(t.Context(), op), messages.OutcomePending)
		if effects := simtest.Effects(s, op); effects != 0 {
			t.Errorf("%d effects of a pending %s", effects, op.Kind)
		}
		o := s.Lookup(t.Context(), op)
		gatewaytest.Want(t, o, kind)
		gatewaytest.Want(t, s.Do(t.Context(), op), kind)
		return o
	}
	p.Reference = ended(p.Authorize("sim_async", 1000), messages.OutcomeSucceeded).GatewayReference
	first, second := p.Capture(600), p.Capture(600)
	gatewaytest.Want(t, s.Do(t.Context(), first), messages.OutcomePending)
	ended(second, messages.OutcomeSucceeded)
	gatewaytest.Want(t, s.Lookup(t.Context(), first), messages.OutcomePending)
	gatewaytest.Want(t, s.Lookup(t.Context(), first), messages.OutcomeDeclined) // The second was faster.
	ended(p.Refund(200), messages.OutcomeSucceeded)
	ended(p.Void(), messages.OutcomeSucceeded)
	total, _ := s.Snapshot().Payment(p.ID())
	if total.AuthorizedMinor != 1000 || total.CapturedMinor != 600 || total.RefundedMinor != 200 || total.ReleasedMinor != 400 {
		t.Errorf("the ledger says %+v", total)
	}
}

func TestLapsingCard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSimulator(t, sim.Config{})
		p := gatewaytest.NewPayment()
		o := s.Do(t.Context(), p.Authorize("sim_lapses_300", 1000))
		if want := time.Now().Add(300 * time.Millisecond); !o.CaptureBefore.Equal(want) {
			t.Errorf("to be captured before %s, want %s", o.CaptureBefore, want)
		}
		p.Reference = o.GatewayReference
		pass(time.Second)
		if o := s.Do(t.Context(), p.Capture(400)); o.Kind != messages.OutcomeDeclined || o.Decline.Code != "authorization_expired" {
			t.Errorf("a capture too late is %s, want declined with authorization_expired", o.Kind)
		}
	})
}
