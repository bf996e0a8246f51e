// Package simtest is the behaviour that a simulator shows in the same process and over HTTP alike.
package simtest

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// Open returns a new simulator and a gateway that leads to it. Both end with the test.
type Open func(t *testing.T, c sim.Config) (*sim.Simulator, gateway.Gateway)

// Run holds a way to a simulator to everything that payment methods promise.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"declined cards":                 declinedCards,
		"typing errors show":             typingErrorsShow,
		"invalid requests leave nothing": invalidRequestsLeaveNothing,
		"pending refund comes through":   pendingRefundComesThrough,
		"faults":                         faults,
		"faults on later operations":     faultsOnLaterOperations,
		"faults are counted":             faultsAreCounted,
		"guard recovers":                 guardRecovers,
		"slow is answered in the end":    slowIsAnsweredInTheEnd,
		"wrong amount is moved and told": wrongAmountIsMovedAndTold,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

func declinedCards(t *testing.T, open Open) {
	s, g := open(t, sim.Config{})
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
}

func typingErrorsShow(t *testing.T, open Open) {
	_, g := open(t, sim.Config{})
	for _, token := range []string{
		"", "visa", "pm_card_vissa", "sim_", "sim_charge_than_timeout", "sim_429_", "sim_429_0", "sim_429_1001", "sim_429_x", "sim_429@",
		"sim_429@capture@refund", "sim_429@cancel", "sim_slow", "sim_slow_0", "sim_slow_-5", "sim_slow_600001", "sim_slow_1.5",
		"sim_wrong_amount_2", "sim_async_2", "sim_async@capture", "sim_lapses", "sim_lapses_0", "sim_lapses_5@capture", "sim_webhook_last", "sim_webhook_duplicate_2", "sim_capture_reversed_2", "sim_capture_reversed@capture", "pm_card_visa@capture", "@capture",
	} {
		o := g.Do(t.Context(), gatewaytest.NewPayment().Authorize(token, 1999))
		if o.Kind != messages.OutcomeDeclined || o.Decline.Code != "invalid_request" || o.Decline.Class != messages.DeclineNeverRetry {
			t.Errorf("payment method %q is %s, want declined as an invalid request", token, o.Kind)
		}
		if !strings.Contains(o.Detail, fmt.Sprintf("%q", token)) {
			t.Errorf("detail %q does not name payment method %q", o.Detail, token)
		}
	}
}

func invalidRequestsLeaveNothing(t *testing.T, open Open) {
	s, g := open(t, sim.Config{})
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
}

func pendingRefundComesThrough(t *testing.T, open Open) {
	s, g := open(t, sim.Config{PendingLookups: 2})
	p := gatewaytest.NewPayment()
	p.Reference = g.Do(t.Context(), p.Charge("pm_card_pendingRefund", 10000)).GatewayReference
	refund := p.Refund(6000)
	gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomePending)
	gatewaytest.WantDecline(t, g.Do(t.Context(), p.Refund(4001)))
	for range 2 {
		gatewaytest.Want(t, g.Lookup(t.Context(), refund), messages.OutcomePending)
		gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomePending)
	}
	if Effects(s, refund) != 0 {
		t.Error("a pending refund has taken effect")
	}
	for range 2 {
		gatewaytest.Want(t, g.Lookup(t.Context(), refund), messages.OutcomeSucceeded)
		gatewaytest.Want(t, g.Do(t.Context(), refund), messages.OutcomeSucceeded)
	}
	if total, _ := s.Snapshot().Payment(p.ID()); total.RefundedMinor != 6000 || Effects(s, refund) != 1 {
		t.Errorf("refunded %d with %d effects, want 6000 with one", total.RefundedMinor, Effects(s, refund))
	}
	gatewaytest.WantDecline(t, g.Do(t.Context(), p.Refund(4001)))
	gatewaytest.Want(t, g.Do(t.Context(), p.Refund(4000)), messages.OutcomePending)
}

func faults(t *testing.T, open Open) {
	for token, c := range map[string]struct {
		first messages.OutcomeKind
		// effects and lookup are those after the first request.
		effects int
		lookup  messages.OutcomeKind
		hangs   bool
	}{
		"sim_charge_then_timeout": {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, true},
		"sim_timeout_no_charge":   {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, true},
		"sim_reset_mid_response":  {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, false},
		"sim_500_after_charge":    {messages.OutcomeUnknown, 1, messages.OutcomeSucceeded, false},
		"sim_500_no_charge":       {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, false},
		"sim_429":                 {messages.OutcomeUnknown, 0, messages.OutcomeNotFound, false},
		"sim_dial_error":          {messages.OutcomeNotSent, 0, messages.OutcomeNotFound, false},
	} {
		t.Run(token, func(t *testing.T) {
			t.Parallel()
			s, g := open(t, sim.Config{Hang: time.Minute})
			ask := g.Do
			if c.hangs {
				ask = func(ctx context.Context, op messages.Operation) messages.Outcome { return patient(ctx, t, s, g, op) }
			}
			op := gatewaytest.NewPayment().Charge(token, 1999)
			gatewaytest.Want(t, ask(t.Context(), op), c.first)
			if got := Effects(s, op); got != c.effects {
				t.Errorf("%d effects after the first request, want %d", got, c.effects)
			}
			gatewaytest.Want(t, g.Lookup(t.Context(), op), c.lookup)
			replay := g.Do(t.Context(), op)
			gatewaytest.Want(t, replay, messages.OutcomeSucceeded)
			if replay.AmountMinor != 1999 || Effects(s, op) != 1 {
				t.Errorf("the replay says %d and left %d effects, want 1999 and one", replay.AmountMinor, Effects(s, op))
			}
		})
	}
}

func faultsOnLaterOperations(t *testing.T, open Open) {
	s, g := open(t, sim.Config{})
	for _, kind := range []messages.OperationKind{
		messages.OperationAuthorize, messages.OperationConfirm, messages.OperationCapture, messages.OperationVoid, messages.OperationRefund,
	} {
		p := gatewaytest.NewPayment()
		do := func(op messages.Operation) messages.Outcome {
			t.Helper()
			want := messages.OutcomeSucceeded
			switch {
			case op.Kind == kind:
				gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
			case op.Kind == messages.OperationAuthorize && kind == messages.OperationConfirm:
				want = messages.OutcomeRequiresAction
			}
			o := g.Do(t.Context(), op)
			gatewaytest.Want(t, o, want)
			return o
		}
		p.Reference = do(p.Authorize("sim_500_after_charge@"+string(kind), 1000)).GatewayReference
		if kind == messages.OperationConfirm {
			do(p.Confirm(1000))
		}
		do(p.Capture(600))
		do(p.Void())
		do(p.Refund(200))
		total, _ := s.Snapshot().Payment(p.ID())
		if total.AuthorizedMinor != 1000 || total.CapturedMinor != 600 || total.ReleasedMinor != 400 || total.RefundedMinor != 200 {
			t.Errorf("with a fault on %s the ledger says %+v", kind, total)
		}
	}
}

func faultsAreCounted(t *testing.T, open Open) {
	_, g := open(t, sim.Config{})
	for _, token := range []string{"sim_500_no_charge_3", "sim_500_after_charge_3", "sim_429_3", "sim_reset_mid_response_3"} {
		op := gatewaytest.NewPayment().Authorize(token, 1000)
		for range 3 {
			gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeUnknown)
		}
		gatewaytest.Want(t, g.Do(t.Context(), op), messages.OutcomeSucceeded)
	}
	p := gatewaytest.NewPayment()
	p.Reference = g.Do(t.Context(), p.Authorize("sim_dial_error_2@capture", 1000)).GatewayReference
	capture := p.Capture(1000)
	gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeNotSent)
	gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeNotSent)
	gatewaytest.Want(t, g.Do(t.Context(), capture), messages.OutcomeSucceeded)
}

// guardRecovers holds that a Guard survives the faults of a moment: one effect, and the second try
// answered.
func guardRecovers(t *testing.T, open Open) {
	s, g := open(t, sim.Config{})
	guarded, err := gateway.NewGuard("sim", g, gateway.Settings{Timeouts: gateway.Timeouts{Authorize: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"sim_reset_mid_response", "sim_500_after_charge", "sim_500_no_charge", "sim_429", "sim_dial_error"} {
		op := gatewaytest.NewPayment().Charge(token, 1999)
		o := guarded.Do(t.Context(), op)
		gatewaytest.Want(t, o, messages.OutcomeSucceeded)
		if o.Tries != 2 || Effects(s, op) != 1 {
			t.Errorf("%s: %d tries and %d effects, want 2 and 1", token, o.Tries, Effects(s, op))
		}
	}
}

func slowIsAnsweredInTheEnd(t *testing.T, open Open) {
	_, g := open(t, sim.Config{})
	gatewaytest.Want(t, g.Do(t.Context(), gatewaytest.NewPayment().Charge("sim_slow_5", 1999)), messages.OutcomeSucceeded)
}

func wrongAmountIsMovedAndTold(t *testing.T, open Open) {
	s, g := open(t, sim.Config{})
	p := gatewaytest.NewPayment()
	op := p.Charge("sim_wrong_amount", 1999)
	for range 2 {
		if o := g.Do(t.Context(), op); o.Kind != messages.OutcomeSucceeded || o.AmountMinor != 1998 {
			t.Errorf("%s with %d, want succeeded with 1998", o.Kind, o.AmountMinor)
		}
	}
	if total, _ := s.Snapshot().Payment(p.ID()); total.CapturedMinor != 1998 {
		t.Errorf("captured %d, want 1998", total.CapturedMinor)
	}
}

// patient asks until the simulator has taken the request in, and no longer if it hangs.
func patient(ctx context.Context, t *testing.T, s *sim.Simulator, g gateway.Gateway, op messages.Operation) messages.Outcome {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan messages.Outcome, 1)
	go func() { answered <- g.Do(ctx, op) }()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case o := <-answered:
			return o
		case <-tick.C:
			if count, _ := s.Snapshot().Operation(op.ID); count.Requests == 1 {
				cancel()
				return <-answered
			}
		}
	}
}

// Effects returns the number of times that an operation took effect.
func Effects(s *sim.Simulator, op messages.Operation) int {
	count, _ := s.Snapshot().Operation(op.ID)
	return count.Effects
}
