package payment_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// The tests of this file are bugs that the simulation found. Each was seen red before its cause was
// mended.

func resolved(op string, outcome messages.ResolvedOutcome, amountMinor int64) *messages.Resolve {
	r := &messages.Resolve{OperationID: op, Outcome: outcome, Actor: "ada", Reason: "statement", GatewayReference: "gw_1"}
	if amountMinor > 0 {
		r.AmountMinor = minor(amountMinor)
	}
	return r
}

// A question that a delivery asked in vain kept its timer when the same delivery ended the
// operation: the timer of a closed payment fired every 30 s for ever.
func TestOursATimerEndsWithItsOperation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "gw_1"})
	w.pass(2 * time.Minute)
	w.settle(w.do(&messages.Resume{}).Call, messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "gw_1"})
	if len(w.asked) != 1 {
		t.Fatalf("asked %v", w.asked)
	}
	asked := w.asked
	w.settle(w.do(&messages.Void{}).Call, succeeded())
	expectStatus(t, w, messages.StatusVoided)
	if timer := w.p.TimerAfter(w.now, asked); !timer.At.IsZero() {
		t.Fatalf("the payment is closed, and its timer fires at %s", timer.At)
	}
}
