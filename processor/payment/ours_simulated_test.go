package payment_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
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

// A resolve booked the first authorization while a second one waited for its customer, and dropped
// the second: the customer paid twice, and neither a void nor a review said so.
func TestOursAResolveDoesNotDropAnotherAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, declined(messages.DeclineSoft))
	w.settle(w.do(&messages.Confirm{PaymentMethod: "pm_other"}).Call, requiresAction())
	first := &w.p.Operations[0]
	w.do(says(first, messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	expectStatus(t, w, messages.StatusReview)
	checkAnswer(t, w.do(resolved(first.ID, messages.ResolvedSucceeded, 10000)), messages.RejectInvalidState)
	if second := w.p.Operations[1]; second.Status != payment.OperationRequiresAction {
		t.Fatalf("the second authorization is %s", second.Status)
	}
}

// Each early question about an unknown outcome took a rung of the ladder: some retries by hand made
// a review within seconds.
func TestOursAnEarlyQuestionClimbsNoRung(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, unknown())
	for range 20 {
		w.pass(100 * time.Millisecond)
		if d := w.do(&messages.Resume{Now: true}); d.Call != nil {
			w.settle(d.Call, unknown())
		}
	}
	expectStatus(t, w, messages.StatusUnknown)
	if checks := w.p.Operations[0].Checks; checks != 0 {
		t.Fatalf("climbed %d rungs in 2 s", checks)
	}
}

// overcharged is a payment of which the gateway took 400 too much.
func overcharged(t *testing.T) (*world, string) {
	t.Helper()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, moved(10400))
	expectStatus(t, w, messages.StatusReview)
	return w, w.p.Operations[0].ID
}

func compensate(op string) *messages.Compensate {
	return &messages.Compensate{OperationID: op, Actor: "ada", Reason: "too much"}
}

// A compensation was booked as what was asked for and not as what the gateway gave back, and a
// resolve of it was impossible: it took the excess off twice.
func TestOursACompensationBooksWhatMoved(t *testing.T) {
	t.Parallel()
	for _, gave := range []int64{300, 500} {
		w, charge := overcharged(t)
		w.settle(w.do(compensate(charge)).Call, moved(gave))
		expectStatus(t, w, messages.StatusReview)
		back := w.p.Operations[1]
		if got := back.RefundedMinor + back.ExcessMinor; got != gave {
			t.Fatalf("the gateway gave %d back, recorded are %d", gave, got)
		}
		if got, want := w.p.Operation(charge).ExcessMinor, 400-min(gave, 400); got != want {
			t.Fatalf("the excess is %d, not %d", got, want)
		}
		w.do(resolved(back.ID, messages.ResolvedSucceeded, gave))
		if got := w.p.Operation(back.ID); got.InReview() || got.RefundedMinor != min(gave, 400) {
			t.Fatalf("after the resolve: %+v", got)
		}
	}
}

// The bank gave a compensation back after all: the excess was there again, and neither a review nor
// the books said so.
func TestOursACompensationThatComesBackIsAnExcessAgain(t *testing.T) {
	t.Parallel()
	w, charge := overcharged(t)
	w.settle(w.do(compensate(charge)).Call, moved(400))
	expectStatus(t, w, messages.StatusCaptured)
	w.do(says(&w.p.Operations[1], messages.NotifyReversal, "", 400))
	expectStatus(t, w, messages.StatusReview)
	if target := w.p.Operation(charge); target.ExcessMinor != 400 || target.CompensatedMinor != 0 {
		t.Fatalf("excess %d, given back %d", target.ExcessMinor, target.CompensatedMinor)
	}
	if d := w.do(compensate(charge)); d.Call == nil || d.Call.Operation.AmountMinor != 400 {
		t.Fatalf("%+v", d)
	}
}

// A void was refused, and a lookup said that the authorization was declined: that was taken for a
// void, while the customer's page was still open.
func TestOursADeclinedActionIsNoVoid(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	question := w.settle(w.do(&messages.Void{}).Call, declinedAs("processing_error", messages.DeclineSoft)).Call
	if question == nil || !question.Lookup {
		t.Fatalf("%+v", question)
	}
	w.settle(question, declinedAs("authentication_failed", messages.DeclineSoft))
	expectStatus(t, w, messages.StatusReview)

	w = reach(t, messages.StatusRequiresAction)
	question = w.settle(w.do(&messages.Void{}).Call, declinedAs("processing_error", messages.DeclineSoft)).Call
	w.settle(question, declinedAs("authorization_voided", messages.DeclineFixData))
	expectStatus(t, w, messages.StatusVoided)
}

// A refund was recorded while another operation waited for a person, and then the gate before its
// call panicked: the command became a dead letter.
func TestOursARefundIsRefusedDuringAReview(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	w.policy.UnknownReplays, w.policy.UnknownLookups = nil, nil
	w.settle(w.do(&messages.Refund{AmountMinor: minor(1000)}).Call, unknown())
	expectStatus(t, w, messages.StatusReview)
	checkAnswer(t, w.do(&messages.Refund{AmountMinor: minor(1000)}), messages.RejectInvalidState)
}

// The customer completed an authorization beside a confirmation that had moved nothing. A later
// lookup was compared with the confirmation: the honest charge became an excess, to be given back.
func TestOursACompletedActionIsNoExcess(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.settle(w.do(&messages.Confirm{}).Call, requiresAction())
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	expectStatus(t, w, messages.StatusCaptured)
	again := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000)
	again.EventID += "_again"
	w.do(again)
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.ExcessMinor != 0 {
		t.Fatalf("excess %d", w.p.ExcessMinor)
	}
}

// An authorization whose outcome was unknown for hours, or that waited in a review, was then tried
// at another gateway, or sent at last: its customer had gone.
func TestOursNoAuthorizationLongAfterItsCommand(t *testing.T) {
	t.Parallel()
	t.Run("a late decline does not fail over", func(t *testing.T) {
		t.Parallel()
		w := withFallbacks(t)
		w.settle(w.do(create("")).Call, unknown())
		w.pass(10 * time.Hour)
		d := w.settle(w.do(&messages.Resume{}).Call, declined(messages.DeclineSoft))
		if d.Call != nil {
			t.Fatalf("asks %s after 10 hours", d.Call.Operation.Gateway)
		}
		expectStatus(t, w, messages.StatusRequiresPaymentMethod)
	})
	t.Run("a fallback that does not know the token", func(t *testing.T) {
		t.Parallel()
		w := withFallbacks(t)
		w.route.Fallbacks = []string{"second"}
		second := expectCall(t, w.settle(w.do(create("")).Call, notSent()), "second")
		w.settle(second, unknown())
		w.pass(10 * time.Hour)
		d := w.settle(w.do(&messages.Resume{}).Call, declinedAs("invalid_request", messages.DeclineFixData))
		if d.Call != nil {
			t.Fatalf("asks %s after 10 hours", d.Call.Operation.Gateway)
		}
		expectStatus(t, w, messages.StatusFailed)
		nothingMoves(t, w)
	})
	t.Run("parked while a person looked", func(t *testing.T) {
		t.Parallel()
		w := withFallbacks(t)
		w.route.Fallbacks = []string{"second"}
		second := expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
		w.settle(second, notSent())
		first := w.p.Operations[0].ID
		w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 0))
		expectStatus(t, w, messages.StatusReview)
		w.pass(48 * time.Hour)
		w.do(resolved(first, messages.ResolvedFailed, 0))
		nothingMoves(t, w)
		expectStatus(t, w, messages.StatusFailed)
	})
}

// A bank took an excess back while its compensation was under way: recording the compensation was
// impossible, so that each delivery panicked.
func TestOursACompensationMayComeTooLate(t *testing.T) {
	t.Parallel()
	w, charge := overcharged(t)
	back := w.do(compensate(charge)).Call
	w.do(says(w.p.Operation(charge), messages.NotifyReversal, "", 10400))
	w.settle(back, moved(400))
	expectStatus(t, w, messages.StatusReview)
	if got := w.p.Operations[1]; got.RefundedMinor != 0 || got.ExcessMinor != 400 {
		t.Fatalf("%+v", got)
	}
}

// A reversal that overtook the news of its charge was dropped: the charge was booked, and stayed.
func TestOursAReversalWaitsForItsCharge(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	early := w.do(says(&w.p.Operations[0], messages.NotifyReversal, "", 10000))
	checkAnswer(t, early, messages.RejectOperationInProgress)
	if !early.TooEarly() {
		t.Fatal("the notification does not come again")
	}
}

// A refund that was under way while the bank took the charge back left money short, and no person
// was asked.
func TestOursARefundOfWhatTheBankTookBackIsReviewed(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	back := w.do(&messages.Refund{}).Call
	w.do(says(&w.p.Operations[0], messages.NotifyReversal, "", 10000))
	w.settle(back, succeeded())
	expectStatus(t, w, messages.StatusReview)
	if w.p.ShortfallMinor != 10000 {
		t.Fatalf("short %d", w.p.ShortfallMinor)
	}
	w.do(resolved(w.p.Operations[1].ID, messages.ResolvedSucceeded, 10000))
	if w.p.InReview() {
		t.Fatalf("%+v", w.p.Operations[1])
	}
}

// While an excess was being given back, an operator could book it: the books had the charge, and
// nothing of the money that went back.
func TestOursAResolveWaitsForTheCompensation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, declined(messages.DeclineNeverRetry))
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	charge := w.p.Operations[0].ID
	w.settle(w.do(compensate(charge)).Call, unknown())
	checkAnswer(t, w.do(resolved(charge, messages.ResolvedSucceeded, 10000)), messages.RejectOutcomeUnknown)
}

// Found by the simulation: a finding booked what a compensation under way was giving back.
func TestOursNothingIsResolvedWhileItIsGivenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, declined(messages.DeclineSoft))
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	refund := w.do(&messages.Compensate{OperationID: w.p.Operations[0].ID, Actor: "ada", Reason: "charged after a decline"}).Call
	w.settle(refund, unknown())
	resolve := &messages.Resolve{OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, Actor: "bob", Reason: "statement"}
	checkAnswer(t, w.do(resolve), messages.RejectOutcomeUnknown)
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, succeeded())
	if w.p.CapturedMinor != 0 || w.p.ExcessMinor != 0 || w.p.Operations[0].CompensatedMinor != 10000 {
		t.Fatalf("%+v", w.p)
	}
}

// Found by the simulation: a part of a refund that had failed went through, and the rest was
// refunded otherwise since.
func TestOursAPartOfARefundThatNoLongerFitsIsAccepted(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	w.settle(w.do(&messages.Refund{AmountMinor: minor(4000)}).Call, declined(messages.DeclineSoft))
	w.settle(w.do(&messages.Refund{AmountMinor: minor(7000)}).Call, succeeded())
	w.do(says(&w.p.Operations[1], messages.NotifyOutcome, messages.OutcomeSucceeded, 2000))
	w.do(&messages.Resolve{OperationID: w.p.Operations[1].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement"})
	expectStatus(t, w, messages.StatusPartiallyRefunded)
	if w.p.RefundedMinor != 7000 || w.p.ExcessMinor != 2000 {
		t.Fatalf("refunded %d, excess %d", w.p.RefundedMinor, w.p.ExcessMinor)
	}
}

// Found by the simulation: a decline overwrote the claim of a success in an unknown outcome.
func TestOursAClaimedSuccessIsNotOverwrittenByADecline(t *testing.T) {
	t.Parallel()
	for _, status := range []messages.Status{messages.StatusUnknown, messages.StatusReview, messages.StatusProcessing} {
		w := reach(t, status)
		w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 0))
		n := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeDeclined, 0)
		n.DeclineCode, n.DeclineClass = "do_not_honor", messages.DeclineSoft
		w.do(n)
		expectStatus(t, w, messages.StatusReview)
	}
}

// Found by the simulation: a declined page that was completed, and whose charge was given back, was
// voided again and again.
func TestOursACompletedPageIsNotClosedForEver(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	soft := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeDeclined, 0)
	soft.DeclineClass, soft.DeclineCode = messages.DeclineSoft, "do_not_honor"
	void := w.do(soft).Call
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	w.settle(w.settle(void, declinedAs("already_captured", messages.DeclineNeverRetry)).Call, unknown())
	w.settle(w.do(&messages.Compensate{OperationID: w.p.Operations[0].ID, Actor: "ada", Reason: "declined"}).Call, succeeded())
	w.do(&messages.Resolve{OperationID: w.p.Operations[1].ID, Outcome: messages.ResolvedFailed, Actor: "ada", Reason: "captured"})
	for range 20 {
		due := w.p.DueAt(w.now)
		if due.IsZero() {
			break
		}
		w.now = due
		if d := w.do(&messages.Resume{}); d.Call != nil {
			t.Fatalf("calls %s again", d.Call.Operation.Kind)
		}
	}
	expectStatus(t, w, messages.StatusRequiresPaymentMethod)
}

// Found by the simulation: a dispute over a capture that Tender had not heard of was of no
// operation, and the same money was taken back once more without a review.
func TestOursADisputeBeforeItsCaptureIsKnownIsReviewed(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	n := says(&w.p.Operations[0], messages.NotifyDispute, "", 10000)
	n.DisputeID, n.DisputeStatus = "dp_1", "lost"
	w.do(n)
	expectStatus(t, w, messages.StatusReview)
	if w.p.Operations[0].DisputedMinor != 10000 {
		t.Fatalf("%+v", w.p.Operations[0])
	}
}

// The same of a confirmation: that it was declined closes no page either.
func TestOursADeclinedConfirmationIsNoVoid(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.settle(w.do(&messages.Confirm{}).Call, messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "gw_1"})
	question := w.settle(w.do(&messages.Void{}).Call, declinedAs("processing_error", messages.DeclineSoft)).Call
	w.settle(question, declinedAs("authentication_failed", messages.DeclineSoft))
	expectStatus(t, w, messages.StatusReview)
}
