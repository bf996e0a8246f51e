package payment_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// The tests of this file are bugs that Tender had. Each was seen red before its cause was mended.

func moved(amountMinor int64) messages.Outcome {
	o := succeeded()
	o.AmountMinor = amountMinor
	return o
}

func declinedAs(code string, class messages.DeclineClass) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: code, Class: class}}
}

// says is a notification about any operation.
func says(op *payment.Operation, kind messages.NotifyKind, outcome messages.OutcomeKind, amountMinor int64) *messages.Notify {
	return &messages.Notify{
		Gateway: op.Gateway, EventID: "evt_" + op.ID, Kind: kind, Outcome: outcome, OperationID: op.ID,
		GatewayReference: "gw_" + op.ID, AmountMinor: amountMinor,
	}
}

// nothingMoves fails if a timer, or an operator who asks to go on, leads to a call that may move
// money.
func nothingMoves(t *testing.T, w *world) {
	t.Helper()
	for range 50 {
		// A person may ask for it at any time, with no timer due.
		d := w.do(&messages.Resume{Now: true})
		if d.Call == nil {
			due := w.p.TimerAfter(w.now, w.asked).At
			if due.IsZero() {
				return
			}
			if due.After(w.now) {
				w.now = due
			}
			continue
		}
		if !d.Call.Lookup {
			t.Fatalf("sends %s to %s", d.Call.Operation.Kind, d.Call.Operation.Gateway)
		}
		w.settle(d.Call, messages.Outcome{Kind: messages.OutcomePending})
	}
}

// Bug 2: the first gateway says that it charged after all, while the failover is parked.
func TestOursNoSecondChargeWhileTheFirstIsInReview(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.route.Fallbacks = []string{"second"}
	second := expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
	w.settle(second, notSent())
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	expectStatus(t, w, messages.StatusReview)
	if w.p.ExcessMinor != 10000 {
		t.Fatalf("excess %d", w.p.ExcessMinor)
	}
	nothingMoves(t, w)
	// The review ends with the charge booked: the parked one is needed no more.
	w.do(&messages.Resolve{
		OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement", GatewayReference: "gw_1",
	})
	nothingMoves(t, w)
	if w.p.CapturedMinor != 0 && w.p.ExcessMinor == 0 && w.p.Status == messages.StatusCaptured {
		return
	}
	if w.p.ExcessMinor+w.p.CapturedMinor != 10000 {
		t.Fatalf("%+v", w.p)
	}
}

// Bug 2 again: a parked capture.
func TestOursAParkedCaptureWaitsForTheReview(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.settle(w.do(&messages.Capture{AmountMinor: minor(1000)}).Call, declined(messages.DeclineSoft))
	w.settle(w.do(&messages.Capture{AmountMinor: minor(4000)}).Call, notSent())
	w.do(says(&w.p.Operations[1], messages.NotifyOutcome, messages.OutcomeSucceeded, 1000))
	expectStatus(t, w, messages.StatusReview)
	nothingMoves(t, w)
}

// Bug 3: an amount that differs is recorded, and held.
func TestOursAnotherAmountIsHeld(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.settle(w.do(create("")).Call, moved(5000))
	expectStatus(t, w, messages.StatusReview)
	if w.p.CapturedMinor != 5000 {
		t.Fatalf("captured %d", w.p.CapturedMinor)
	}
	soft := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeDeclined, 0)
	soft.DeclineClass, soft.DeclineCode = messages.DeclineSoft, "do_not_honor"
	expectCall(t, w.do(soft), "")
	nothingMoves(t, w)
	checkAnswer(t, w.do(&messages.Refund{}), messages.RejectInvalidState)
	w.do(&messages.Resolve{
		OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, AmountMinor: minor(5000), Actor: "ada", Reason: "statement",
	})
	expectStatus(t, w, messages.StatusCaptured)
	if d := w.do(&messages.Refund{}); d.Call == nil || d.Call.Operation.AmountMinor != 5000 {
		t.Fatalf("%+v", d)
	}
}

func TestOursMoreThanWasAskedForIsAnExcess(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.settle(w.do(&messages.Capture{AmountMinor: minor(4000)}).Call, moved(4400))
	expectStatus(t, w, messages.StatusReview)
	if w.p.CapturedMinor != 4000 || w.p.ExcessMinor != 400 {
		t.Fatalf("captured %d, excess %d", w.p.CapturedMinor, w.p.ExcessMinor)
	}
	d := w.do(&messages.Compensate{OperationID: w.p.Operations[1].ID, Actor: "ada", Reason: "too much"})
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationRefund || d.Call.Operation.AmountMinor != 400 ||
		d.Call.Operation.GatewayReference != "gw_1" {
		t.Fatalf("%+v", d)
	}
	expectTypes(t, w.settle(d.Call, succeeded()).Events, messages.EventPaymentCompensated)
	expectStatus(t, w, messages.StatusPartiallyCaptured)
	if w.p.ExcessMinor != 0 || w.p.RefundedMinor != 0 || w.p.CapturedMinor != 4000 {
		t.Fatalf("%+v", w.p)
	}
}

// Bug 3: a success without an amount books nothing.
func TestOursASuccessWithoutAnAmountIsLookedUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := w.do(create("")).Call
	o := succeeded()
	o.Tries = 1
	w.commit(payment.Settle(w.p, w.last, *call, o, w.env()))
	expectStatus(t, w, messages.StatusUnknown)
	d := w.do(&messages.Resume{})
	if d.Call == nil || !d.Call.Lookup {
		t.Fatalf("is not looked up at once: %+v", d.Call)
	}
	w.settle(d.Call, moved(10000))
	expectStatus(t, w, messages.StatusCaptured)

	// A decline after such a success is a contradiction, not an end.
	w = newWorld(t)
	call = w.do(create("")).Call
	w.commit(payment.Settle(w.p, w.last, *call, o, w.env()))
	w.settle(w.do(&messages.Resume{}).Call, declined(messages.DeclineSoft))
	expectStatus(t, w, messages.StatusReview)
}

// Bug 3: 39.99 of 40.00 can be booked as that, and a wrong finding can be put right.
func TestOursResolveTakesAnAmount(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusReview)
	resolve := &messages.Resolve{
		OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, AmountMinor: minor(9999),
		Actor: "ada", Reason: "statement", GatewayReference: "gw_7",
	}
	w.do(resolve)
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.CapturedMinor != 9999 || w.p.RefundableMinor() != 9999 {
		t.Fatalf("captured %d", w.p.CapturedMinor)
	}
	// The gateway reports the rest: a review, in which the finding is corrected.
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	expectStatus(t, w, messages.StatusReview)
	resolve.AmountMinor = minor(10000)
	w.do(resolve)
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.CapturedMinor != 10000 || w.p.ExcessMinor != 0 {
		t.Fatalf("%+v", w.p)
	}
}

// Bug 4: a confirmation that never got through does not fail a payment whose page is still open.
func TestOursAConfirmThatIsGivenUpLeavesTheActionOpen(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.policy.ActionExpiry = 24 * time.Hour
	call := w.do(&messages.Confirm{}).Call
	for call != nil && call.Operation.Kind == messages.OperationConfirm {
		d := w.settle(call, notSent())
		if w.p.Status == messages.StatusRequiresAction {
			expectTypes(t, d.Events, messages.EventPaymentConfirmFailed)
			break
		}
		w.now = w.p.DueAt(w.now)
		call = w.do(&messages.Resume{}).Call
	}
	expectStatus(t, w, messages.StatusRequiresAction)
	w.now = w.p.DueAt(w.now)
	d := w.do(&messages.Resume{})
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid {
		t.Fatalf("the page is not closed: %+v", d)
	}
	// The void is not given up.
	for range 100 {
		w.settle(d.Call, notSent())
		w.now = w.p.DueAt(w.now)
		d = w.do(&messages.Resume{})
	}
	w.settle(d.Call, succeeded())
	expectStatus(t, w, messages.StatusExpired)
}

// Bugs 4 and 15: a decline of what the customer could still complete ends by a proven void.
func TestOursADeclinedActionIsClosedBeforeAnotherGatewayIsAsked(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.settle(w.do(create("")).Call, requiresAction())
	soft := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeDeclined, 0)
	soft.DeclineClass, soft.DeclineCode = messages.DeclineSoft, "do_not_honor"
	d := w.do(soft)
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid || d.Call.Operation.Gateway != "primary" {
		t.Fatalf("the page is not closed first: %+v", d.Call)
	}
	expectCall(t, w.settle(d.Call, succeeded()), "second")

	// A declined confirmation likewise.
	w = reach(t, messages.StatusRequiresAction)
	d = w.settle(w.do(&messages.Confirm{}).Call, declined(messages.DeclineNeverRetry))
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid {
		t.Fatalf("%+v", d.Call)
	}
	d = w.settle(d.Call, succeeded())
	expectTypes(t, d.Events, messages.EventOperationClosed, messages.EventPaymentDeclined)
	expectStatus(t, w, messages.StatusFailed)
}

// Bug 5: an authorization that was recorded as sent is not made hours later.
func TestOursALateAuthorizationIsOnlyAskedAbout(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	d := w.settle(w.do(create("")).Call, notSent())
	expectCall(t, d, "second")
	w.pass(10 * time.Hour)
	d = w.do(&messages.Resume{})
	if d.Call == nil || !d.Call.Lookup {
		t.Fatalf("charges 10 h after the create: %+v", d.Call)
	}
}

// Bug 6: a refused void is a question.
func TestOursARefusedVoidIsAQuestion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		state *messages.AuthorizationState
		want  messages.Status
	}{
		"captured elsewhere":    {&messages.AuthorizationState{CapturedMinor: 10000}, messages.StatusCaptured},
		"released":              {&messages.AuthorizationState{ReleasedMinor: 10000}, messages.StatusExpired},
		"still there":           {&messages.AuthorizationState{}, messages.StatusReview},
		"the gateway is silent": {nil, messages.StatusReview},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := reach(t, messages.StatusAuthorized)
			w.now = w.p.DueAt(w.now)
			d := w.settle(w.do(&messages.Resume{}).Call, declinedAs("already_captured", messages.DeclineNeverRetry))
			if d.Call == nil || !d.Call.Lookup || d.Call.Operation.ID != w.p.Operations[0].ID || d.Call.Behalf != w.p.Operations[1].ID {
				t.Fatalf("the authorization is not looked up: %+v", d.Call)
			}
			o := moved(10000)
			o.Authorization = c.state
			w.settle(d.Call, o)
			expectStatus(t, w, c.want)
			if c.want == messages.StatusReview {
				nothingMoves(t, w)
			}
		})
	}
}

// Bug 6: no void goes out while a person has to look.
func TestOursNothingExpiresDuringAReview(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.settle(w.do(&messages.Capture{AmountMinor: minor(1000)}).Call, declined(messages.DeclineSoft))
	w.do(says(&w.p.Operations[1], messages.NotifyOutcome, messages.OutcomeSucceeded, 1000))
	w.now = w.p.CaptureBefore.Add(time.Hour)
	nothingMoves(t, w)
	w.do(&messages.Resolve{OperationID: w.p.Operations[1].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement"})
	expectStatus(t, w, messages.StatusPartiallyCaptured)
	if due := w.p.DueAt(w.now); due.IsZero() {
		t.Fatal("what is left never expires")
	}
}

// A user's refused void leaves a proven authorization as it was.
func TestOursARefusedVoidOfAProvenAuthorizationFails(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	d := w.settle(w.do(&messages.Void{}).Call, declinedAs("processing_error", messages.DeclineSoft))
	o := moved(10000)
	o.Authorization = &messages.AuthorizationState{}
	expectTypes(t, w.settle(d.Call, o).Events, messages.EventPaymentOutcomeResolved, messages.EventPaymentVoidFailed)
	expectStatus(t, w, messages.StatusAuthorized)
}

// Bug 7: a refund goes where the money is, under the reference that it has there.
func TestOursARefundGoesWhereTheMoneyIs(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.route.Fallbacks = []string{"second"}
	second := expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
	w.settle(second, declined(messages.DeclineSoft))
	first := &w.p.Operations[0]
	n := says(first, messages.NotifyOutcome, messages.OutcomeSucceeded, 10000)
	n.GatewayReference = ""
	w.do(n)
	resolve := &messages.Resolve{OperationID: first.ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement"}
	checkAnswer(t, w.do(resolve), messages.RejectReferenceRequired)
	resolve.GatewayReference = "ch_primary"
	w.do(resolve)
	expectStatus(t, w, messages.StatusCaptured)
	d := w.do(&messages.Refund{})
	if d.Call == nil || d.Call.Operation.Gateway != "primary" || d.Call.Operation.GatewayReference != "ch_primary" {
		t.Fatalf("%+v", d.Call)
	}
}

// Bug 8: money that a dispute took is not refunded as well.
func TestOursADisputeHoldsItsMoney(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	dispute := func(status string, amount int64) *messages.Notify {
		n := says(&w.p.Operations[0], messages.NotifyDispute, "", amount)
		n.DisputeID, n.DisputeStatus = "dp_1", status
		return n
	}
	w.do(dispute("opened", 10000))
	checkAnswer(t, w.do(&messages.Refund{}), messages.RejectNothingToRefund)
	w.do(dispute("lost", 10000))
	checkAnswer(t, w.do(&messages.Refund{}), messages.RejectNothingToRefund)
	if w.p.DisputedMinor != 10000 || w.p.Operations[0].DisputedMinor != 10000 {
		t.Fatalf("%+v", w.p)
	}

	w = reach(t, messages.StatusPartiallyRefunded)
	w.do(dispute("lost", 10000))
	expectStatus(t, w, messages.StatusReview)
	if w.p.ShortfallMinor != 1000 {
		t.Fatalf("short of %d", w.p.ShortfallMinor)
	}
	w.do(&messages.Resolve{OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "lost"})
	expectStatus(t, w, messages.StatusPartiallyRefunded)

	w = reach(t, messages.StatusCaptured)
	w.do(dispute("opened", 10000))
	w.do(dispute("won", 10000))
	if w.p.RefundableMinor() != 10000 {
		t.Fatalf("refundable %d", w.p.RefundableMinor())
	}
}

// Bug 9: a double charge can be given back, at its own gateway, and is booked.
func TestOursADoubleChargeIsCompensated(t *testing.T) {
	t.Parallel()
	for method, kind := range map[messages.CaptureMethod]messages.OperationKind{
		messages.CaptureAutomatic: messages.OperationRefund, messages.CaptureManual: messages.OperationVoid,
	} {
		w := withFallbacks(t)
		second := expectCall(t, w.settle(w.do(create(method)).Call, declined(messages.DeclineSoft)), "second")
		w.settle(second, succeeded())
		first := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000)
		w.do(first)
		expectStatus(t, w, messages.StatusReview)
		// The record of the money at the second gateway stands.
		if w.p.AuthorizedMinor != 10000 || w.p.ExcessMinor != 10000 || w.p.Gateway != "second" {
			t.Fatalf("%+v", w.p)
		}
		compensate := &messages.Compensate{OperationID: w.p.Operations[0].ID, Actor: "ada", Reason: "charged twice"}
		d := w.do(compensate)
		if d.Call == nil || d.Call.Operation.Kind != kind || d.Call.Operation.Gateway != "primary" ||
			d.Call.Operation.GatewayReference != first.GatewayReference {
			t.Fatalf("%s: %+v, %+v", method, d.Call, d.Refusal)
		}
		checkAnswer(t, w.do(compensate), messages.RejectOperationInProgress)
		expectTypes(t, w.settle(d.Call, succeeded()).Events, messages.EventPaymentCompensated)
		if w.p.InReview() || w.p.ExcessMinor != 0 || w.p.Operations[0].CompensatedMinor != 10000 {
			t.Fatalf("%+v", w.p)
		}
		// The gateway repeats itself: no news.
		if d := w.do(first); len(d.Events) != 0 {
			t.Fatalf("%v", types(d.Events))
		}
	}
}

// Bug 9: a reversal after a refund is booked as what it is.
func TestOursAReversalAfterARefundIsBooked(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRefunded)
	w.do(told(w, messages.NotifyReversal, ""))
	expectStatus(t, w, messages.StatusReview)
	if w.p.ShortfallMinor != 10000 || w.p.Operations[0].ReversedMinor != 10000 {
		t.Fatalf("%+v", w.p)
	}
	w.do(&messages.Resolve{OperationID: w.p.Operations[0].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "written off"})
	expectStatus(t, w, messages.StatusRefunded)
}

// Bug 10: a pending operation writes nothing while nothing changes, has a deadline, and can be
// canceled.
func TestOursPendingIsQuietAndEnds(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusProcessing)
	expectTypes(t, w.history[len(w.history)-1:], messages.EventPaymentProcessing)
	events, checks := len(w.history), 0
	for w.p.Status == messages.StatusProcessing {
		due := w.p.Timer(w.now).At
		if wait := due.Sub(w.now); wait <= 0 || wait > 12*time.Hour {
			t.Fatalf("check %d after %s", checks, wait)
		}
		w.now = due
		call := w.do(&messages.Resume{}).Call
		if call == nil || !call.Lookup {
			t.Fatalf("check %d: %+v", checks, call)
		}
		if checks++; checks > 200 {
			t.Fatal("asks without end")
		}
		if checks%3 == 0 {
			w.settle(call, unknown())
			continue
		}
		w.settle(call, messages.Outcome{Kind: messages.OutcomePending})
	}
	expectStatus(t, w, messages.StatusReview)
	if len(w.history) != events+1 {
		t.Fatalf("%v", types(w.history[events:]))
	}

	w = reach(t, messages.StatusProcessing)
	d := w.do(&messages.Void{})
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid || d.Call.Operation.GatewayReference != "gw_1" {
		t.Fatalf("cannot be canceled: %+v", d)
	}
	w.settle(d.Call, succeeded())
	expectStatus(t, w, messages.StatusVoided)
	if !w.p.DueAt(w.now).IsZero() {
		t.Fatal("a voided payment has a timer")
	}
}

// Bug 10: pending answers do not use up the ladder of unknowns.
func TestOursPendingIsNoRungOfTheLadder(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusUnknown)
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, messages.Outcome{Kind: messages.OutcomePending})
	expectStatus(t, w, messages.StatusProcessing)
	for range 20 {
		w.now = w.p.DueAt(w.now)
		w.settle(w.do(&messages.Resume{}).Call, messages.Outcome{Kind: messages.OutcomePending})
	}
	if w.p.Operations[0].Checks != 0 {
		t.Fatalf("%d rungs", w.p.Operations[0].Checks)
	}
	// A gateway that no longer knows it is another matter.
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, messages.Outcome{Kind: messages.OutcomeNotFound})
	expectStatus(t, w, messages.StatusUnknown)
}

// Bug 14: a void of what was captured meanwhile is a contradiction.
func TestOursAVoidOfWhatWasCapturedMeanwhileIsReviewed(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	void := w.do(&messages.Void{}).Call
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	w.settle(void, succeeded())
	expectStatus(t, w, messages.StatusReview)
	if w.p.CapturedMinor != 10000 || w.p.Closed != "" {
		t.Fatalf("captured %d, closed %q", w.p.CapturedMinor, w.p.Closed)
	}
}

// The same for the void of an action that expired.
func TestOursAnExpiredActionThatWasCapturedIsReviewed(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.now = w.p.DueAt(w.now)
	void := w.do(&messages.Resume{}).Call
	w.do(says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	w.settle(void, succeeded())
	expectStatus(t, w, messages.StatusReview)
}

// Bug 16: failover reads what a rest is about.
func TestOursARestOfOneOperationDoesNotFailOver(t *testing.T) {
	t.Parallel()
	for rest, want := range map[messages.RestScope]string{
		messages.RestOperation: "", messages.RestLocal: "", messages.RestGateway: "second", messages.RestCredentials: "second", "": "second",
	} {
		w := withFallbacks(t)
		o := notSent()
		o.Rest, o.RetryAfter = rest, time.Second
		expectCall(t, w.settle(w.do(create("")).Call, o), want)
	}
	// A process that stays full gives the payment to another gateway in the end.
	w := withFallbacks(t)
	o := notSent()
	o.Rest = messages.RestLocal
	d := w.settle(w.do(create("")).Call, o)
	for range 100 {
		if d.Call != nil {
			break
		}
		w.now = w.p.DueAt(w.now)
		d = w.settle(w.do(&messages.Resume{}).Call, o)
	}
	expectCall(t, d, "second")
}

// Bug 17: a fallback that does not know the token does not end the payment.
func TestOursAForeignTokenDoesNotEndThePayment(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	second := expectCall(t, w.settle(w.do(create("")).Call, notSent()), "second")
	third := expectCall(t, w.settle(second, declinedAs("invalid_request", messages.DeclineNeverRetry)), "third")
	w.settle(third, declinedAs("resource_missing", messages.DeclineFixData))
	expectStatus(t, w, messages.StatusAuthorizing)
	w.now = w.p.DueAt(w.now)
	primary := expectCall(t, w.do(&messages.Resume{}), "primary")
	w.settle(primary, succeeded())
	expectStatus(t, w, messages.StatusCaptured)

	// After a decline, the decline is what counts.
	w = withFallbacks(t)
	second = expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
	third = expectCall(t, w.settle(second, declinedAs("invalid_request", messages.DeclineNeverRetry)), "third")
	w.settle(third, declinedAs("invalid_request", messages.DeclineNeverRetry))
	expectStatus(t, w, messages.StatusRequiresPaymentMethod)
	if w.p.Decline.Code != "some_code" {
		t.Fatalf("declined as %s", w.p.Decline.Code)
	}
}

// Bug 19: a time in the past does not end a fresh authorization.
func TestOursAnImplausibleCaptureBeforeIsAbsent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := succeeded()
	o.CaptureBefore = start.Add(-time.Hour)
	w.settle(w.do(create(messages.CaptureManual)).Call, o)
	if due := w.p.DueAt(w.now); !due.Equal(start.Add(w.policy.AuthorizationExpiry)) {
		t.Fatalf("due %s", due)
	}
}

// Bug 20: brief refusals do not double the wait, and a gateway that is back brings its payments
// back.
func TestOursBriefRefusalsDoNotStarveAPayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := notSent()
	o.Rest = messages.RestLocal
	call := w.do(create("")).Call
	for range 50 {
		w.settle(call, o)
		if wait := w.p.DueAt(w.now).Sub(w.now); wait > 2*w.policy.NotSentInitial {
			t.Fatalf("waits %s", wait)
		}
		w.now = w.p.DueAt(w.now)
		call = w.do(&messages.Resume{}).Call
	}
	o.Rest = messages.RestGateway
	w.settle(call, o)
	if timer := w.p.Timer(w.now); timer.Gateway != "primary" || !timer.At.After(w.now) {
		t.Fatalf("%+v", timer)
	}
	expectCall(t, w.do(&messages.Resume{Now: true}), "primary")
}

// A notification that does not say how final a decline is does not open the way to another gateway.
func TestOursADeclineWithoutAClassDoesNotFailOver(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.do(create(""))
	n := says(&w.p.Operations[0], messages.NotifyOutcome, messages.OutcomeDeclined, 0)
	n.DeclineCode = "do_not_honor"
	expectCall(t, w.do(n), "")
	expectStatus(t, w, messages.StatusRequiresPaymentMethod)
}

// A refund that went through after all, beyond what may be refunded, is taken note of.
func TestOursARefundBeyondTheRefundableIsAccepted(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	first := w.do(&messages.Refund{}).Call
	w.settle(first, declined(messages.DeclineSoft))
	w.settle(w.do(&messages.Refund{}).Call, succeeded())
	w.do(says(&w.p.Operations[1], messages.NotifyOutcome, messages.OutcomeSucceeded, 10000))
	expectStatus(t, w, messages.StatusReview)
	checkAnswer(t, w.do(&messages.Compensate{OperationID: w.p.Operations[1].ID, Actor: "ada", Reason: "x"}), messages.RejectNothingToCompensate)
	w.do(&messages.Resolve{OperationID: w.p.Operations[1].ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement"})
	expectStatus(t, w, messages.StatusRefunded)
	if w.p.RefundedMinor != 10000 || w.p.ExcessMinor != 10000 {
		t.Fatalf("refunded %d, excess %d", w.p.RefundedMinor, w.p.ExcessMinor)
	}
}

// A void that is found to have succeeded after a capture cannot be booked.
func TestOursAVoidFoundAfterACaptureIsRefused(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	void := w.do(&messages.Void{}).Call
	lookup := w.settle(void, declinedAs("processing_error", messages.DeclineSoft)).Call
	o := moved(10000)
	o.Authorization = &messages.AuthorizationState{}
	w.settle(lookup, o)
	w.settle(w.do(&messages.Capture{}).Call, succeeded())
	w.settle(void, succeeded())
	expectStatus(t, w, messages.StatusReview)
	checkAnswer(t, w.do(&messages.Resolve{
		OperationID: void.Operation.ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement",
	}), messages.RejectAmountExceedsCapturable)
}

// A slower worker's proof that its attempt was not sent is no proof for a later attempt.
func TestOursAnotherAttemptsNotSentProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, notSent())
	w.now = w.p.DueAt(w.now)
	slow := w.do(&messages.Resume{}).Call
	w.settle(slow, notSent())
	w.now = w.p.DueAt(w.now)
	w.do(&messages.Resume{})
	w.settle(slow, notSent())
	expectStatus(t, w, messages.StatusUnknown)
}

// A history in which an authorization takes the place of one that may still move money is damaged.
func TestOursAReplacementOfALiveAuthorizationIsDamage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(create(""))
	e := w.history[1]
	e.Version = 3
	e.Data = &messages.PaymentRouted{
		Attempt:     messages.Attempt{OperationID: w.p.ID.String() + "-2", Gateway: "second", Attempt: 1},
		AmountMinor: 10000, PaymentMethod: "pm_card_visa", PreviousOperationID: w.p.Operations[0].ID,
	}
	if _, err := payment.Fold(append(w.history[:2:2], e)); err == nil {
		t.Fatal("folds")
	}
}

// A void that releases what a customer completed at the last moment: both are recorded.
func TestOursAVoidOfAnActionThatWasJustCompletedIsBooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create(messages.CaptureManual)).Call, requiresAction())
	w.now = w.p.DueAt(w.now)
	d := w.settle(w.do(&messages.Resume{}).Call, moved(10000))
	expectTypes(t, d.Events, messages.EventPaymentAuthorized, messages.EventPaymentExpired)
	expectStatus(t, w, messages.StatusExpired)
	if w.p.AuthorizedMinor != 10000 || w.p.ReleasedMinor != 10000 {
		t.Fatalf("%+v", w.p)
	}
}
