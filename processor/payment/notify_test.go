package payment_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// told is a notification about the payment's first operation.
func told(w *world, kind messages.NotifyKind, outcome messages.OutcomeKind) *messages.Notify {
	n := &messages.Notify{
		Gateway: "primary", EventID: "evt_1", Kind: kind, Outcome: outcome, OperationID: firstOperation(w.p),
		GatewayReference: "gw_1",
	}
	if outcome == messages.OutcomeSucceeded {
		n.AmountMinor = 10000
	}
	return n
}

func TestANotificationBeatsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := w.do(create("")).Call
	expectTypes(t, w.do(told(w, messages.NotifyOutcome, messages.OutcomeSucceeded)).Events, messages.EventPaymentCaptured)
	for _, late := range []messages.Outcome{succeeded(), unknown(), notSent()} {
		if d := w.settle(call, late); len(d.Events) != 0 {
			t.Fatalf("%s: %v", late.Kind, types(d.Events))
		}
	}
}

// The refund's own answer comes last of all: after the notification that it succeeded, and the one
// that it was taken back.
func TestAnAnswerFromBeforeAReversalContradictsNothing(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	call := w.do(&messages.Refund{}).Call
	n := told(w, messages.NotifyOutcome, messages.OutcomeSucceeded)
	n.OperationID = call.Operation.ID
	expectTypes(t, w.do(n).Events, messages.EventRefundSucceeded)
	n = told(w, messages.NotifyReversal, "")
	n.EventID, n.OperationID = "evt_2", call.Operation.ID
	expectTypes(t, w.do(n).Events, messages.EventRefundFailed)
	if d := w.settle(call, succeeded()); len(d.Events) != 0 {
		t.Fatalf("the answer leads to %v", types(d.Events))
	}
	if d := w.do(&messages.Refund{}); d.Call == nil {
		t.Fatalf("no further refund: %+v", d.Refusal)
	}
}

func TestANotificationEndsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusUnknown)
	d := w.do(told(w, messages.NotifyOutcome, messages.OutcomeSucceeded))
	expectTypes(t, d.Events, messages.EventPaymentOutcomeResolved, messages.EventPaymentCaptured)
}

func TestTheCustomerFinishesWithoutAConfirm(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.do(told(w, messages.NotifyOutcome, messages.OutcomeSucceeded))
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.NextAction != nil || !w.p.DueAt(w.now).IsZero() {
		t.Fatalf("%+v", w.p)
	}
}

func TestANotificationAboutAnActionIsAboutItsConfirmation(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	confirm := w.do(&messages.Confirm{}).Call
	w.do(told(w, messages.NotifyOutcome, messages.OutcomeSucceeded))
	w.settle(confirm, succeeded())
	if w.p.CapturedMinor != 10000 || w.p.Status != messages.StatusCaptured {
		t.Fatalf("captured %d, %s", w.p.CapturedMinor, w.p.Status)
	}
}

// Found by the property test: the confirmation's own answer was lost, and the gateway repeats that
// it waits.
func TestAStaleActionDoesNotEndItsConfirmation(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.settle(w.do(&messages.Confirm{}).Call, unknown())
	n := told(w, messages.NotifyOutcome, messages.OutcomeRequiresAction)
	n.NextActionType = "redirect"
	if d := w.do(n); len(d.Events) != 0 {
		t.Fatalf("%v", types(d.Events))
	}
	expectStatus(t, w, messages.StatusUnknown)
}

func TestStaleNotificationsChangeNothing(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	for _, stale := range []messages.OutcomeKind{
		messages.OutcomePending, messages.OutcomeRequiresAction, messages.OutcomeDeclined, messages.OutcomeSucceeded,
	} {
		if d := w.do(told(w, messages.NotifyOutcome, stale)); len(d.Events) != 0 || d.Call != nil {
			t.Errorf("%s: %v", stale, types(d.Events))
		}
	}
}

func TestANotifiedSuccessOfWhatFailedOpensAReview(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresPaymentMethod)
	expectTypes(t, w.do(told(w, messages.NotifyOutcome, messages.OutcomeSucceeded)).Events, messages.EventPaymentReviewOpened)
	expectStatus(t, w, messages.StatusReview)
	if w.p.Operations[0].ExcessMinor != 10000 {
		t.Fatalf("what the gateway reports is not recorded: %+v", w.p.Operations[0])
	}
}

func TestNotificationsOfStrangersAreRefused(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	n := told(w, messages.NotifyOutcome, messages.OutcomeSucceeded)
	n.Gateway = "second"
	checkAnswer(t, w.do(n), messages.RejectOperationNotFound)
	n = told(w, messages.NotifyOutcome, messages.OutcomeSucceeded)
	n.OperationID, n.GatewayReference = "", "gw_of_another"
	checkAnswer(t, w.do(n), messages.RejectOperationNotFound)
	w = reach(t, messages.StatusNone)
	if d := w.do(n); !d.TooEarly() {
		t.Fatal("a notification that overtakes its payment is final")
	}
}

func TestAReversedCaptureIsNoLongerRefundable(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	n := told(w, messages.NotifyReversal, "")
	n.AmountMinor = 4000
	expectTypes(t, w.do(n).Events, messages.EventPaymentCaptureReversed)
	expectStatus(t, w, messages.StatusCaptured)
	checkAnswer(t, w.do(&messages.Refund{AmountMinor: minor(6001)}), messages.RejectAmountExceedsRefundable)
	n.AmountMinor = 0
	expectTypes(t, w.do(n).Events, messages.EventPaymentCaptureReversed)
	expectStatus(t, w, messages.StatusFailed)
	if w.p.CapturedMinor != 0 || w.p.UncapturedMinor() != 0 || w.p.FailureCode != messages.FailureReversed {
		t.Fatalf("%+v", w.p)
	}
	if d := w.do(n); len(d.Events) != 0 {
		t.Fatalf("reversed twice: %v", types(d.Events))
	}
}

func TestAReversalOfRefundedMoneyGoesToAPerson(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusPartiallyRefunded)
	expectTypes(t, w.do(told(w, messages.NotifyReversal, "")).Events, messages.EventPaymentCaptureReversed, messages.EventPaymentReviewOpened)
	if w.p.CapturedMinor != 1000 || w.p.ShortfallMinor != 1000 {
		t.Fatalf("captured %d, short of %d", w.p.CapturedMinor, w.p.ShortfallMinor)
	}
}

func TestARefundThatFailsAfterAll(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRefunded)
	n := told(w, messages.NotifyReversal, "")
	n.OperationID = w.p.Operations[1].ID
	expectTypes(t, w.do(n).Events, messages.EventRefundFailed)
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.RefundableMinor() != 10000 || w.p.Operations[1].Status != payment.OperationFailed {
		t.Fatalf("refundable %d, %+v", w.p.RefundableMinor(), w.p.Operations[1])
	}
}

func TestAReversalBeforeItsSuccessIsTooEarly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(create(""))
	if d := w.do(told(w, messages.NotifyReversal, "")); !d.TooEarly() {
		t.Fatalf("%+v", d.Refusal)
	}
}

func TestADisputeGoesForwardOnly(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	dispute := func(status string) *messages.Notify {
		n := told(w, messages.NotifyDispute, "")
		n.DisputeID, n.DisputeStatus, n.AmountMinor = "dp_1", status, 10000
		return n
	}
	expectTypes(t, w.do(dispute("challenged")).Events, messages.EventDisputeChallenged)
	expectTypes(t, w.do(dispute("opened")).Events)
	expectTypes(t, w.do(dispute("won")).Events, messages.EventDisputeWon)
	expectTypes(t, w.do(dispute("lost")).Events)
	if len(w.p.Disputes) != 1 || w.p.Disputes[0].Status != messages.EventDisputeWon {
		t.Fatalf("%+v", w.p.Disputes)
	}
	expectStatus(t, w, messages.StatusCaptured)
}
