package payment_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// types lists what a history is made of.
func types(events []messages.Event) []messages.EventType {
	var ts []messages.EventType
	for _, e := range events {
		ts = append(ts, e.Type())
	}
	return ts
}

func expectTypes(t *testing.T, events []messages.Event, want ...messages.EventType) {
	t.Helper()
	if diff := cmp.Diff(want, types(events)); diff != "" {
		t.Fatalf("events (-want +got):\n%s", diff)
	}
}

func expectStatus(t *testing.T, w *world, want messages.Status) {
	t.Helper()
	if w.p.Status != want {
		t.Fatalf("status %s, want %s", w.p.Status, want)
	}
}

func TestAutomaticCapture(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.do(create(""))
	if op := d.Call.Operation; !op.Capture || op.AmountMinor != 10000 || op.Attempt != 1 || op.Gateway != "primary" {
		t.Fatalf("asks the gateway for %+v", op)
	}
	w.settle(d.Call, succeeded())
	expectTypes(t, w.history, messages.EventPaymentCreated, messages.EventPaymentRouted, messages.EventPaymentCaptured)
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.AuthorizedMinor != 10000 || w.p.CapturedMinor != 10000 || !w.p.DueAt(w.now).IsZero() {
		t.Fatalf("%+v", w.p)
	}
}

func TestCaptureInTwoPartsReleasesTheRest(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusPartiallyCaptured)
	d := w.do(&messages.Capture{AmountMinor: minor(3500), Final: true})
	if !d.Call.Operation.Final {
		t.Fatal("the gateway is not told that this capture is final")
	}
	last := w.settle(d.Call, succeeded()).Events[0].Data.(*messages.PaymentCaptured)
	if last.AmountCapturedMinor != 7500 || last.AmountReleasedMinor != 2500 || last.AmountCapturableMinor != 0 {
		t.Fatalf("%+v", last)
	}
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.ReleasedMinor != 2500 || !w.p.DueAt(w.now).IsZero() {
		t.Fatalf("released %d, due %s", w.p.ReleasedMinor, w.p.DueAt(w.now))
	}
}

func TestManualCaptureOfAPartReleasesTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create(messages.CaptureManual)).Call, succeeded())
	w.settle(w.do(&messages.Capture{AmountMinor: minor(1)}).Call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.ReleasedMinor != 9999 {
		t.Fatalf("released %d", w.p.ReleasedMinor)
	}
}

func TestTwoOpenCapturesAreWithinTheAuthorization(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	first := w.do(&messages.Capture{AmountMinor: minor(6000)})
	checkAnswer(t, w.do(&messages.Capture{AmountMinor: minor(4001)}), messages.RejectAmountExceedsCapturable)
	second := w.do(&messages.Capture{AmountMinor: minor(4000)})
	w.settle(second.Call, succeeded())
	got := w.settle(first.Call, succeeded()).Events[0].Data.(*messages.PaymentCaptured)
	if got.AmountCapturedMinor != 10000 || got.AmountCapturableMinor != 0 {
		t.Fatalf("%+v", got)
	}
}

func TestEveryAnswerIsInTheHistoryWithItsEffort(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	o := succeeded()
	o.Latency = 42 * time.Millisecond
	voided := w.settle(w.do(&messages.Void{}).Call, o).Events[0].Data.(*messages.PaymentVoided)
	if voided.Attempt != 1 || voided.Tries != 1 || voided.LatencyMS != 42 || w.p.Operations[1].Tries != 1 {
		t.Errorf("voided: %+v, %+v", voided, w.p.Operations[1])
	}

	w = reach(t, messages.StatusRequiresPaymentMethod)
	w.do(&messages.Void{})
	if local := w.history[len(w.history)-1].Data.(*messages.PaymentVoided); local.Attempt != 0 || local.Gateway != "" {
		t.Errorf("no gateway was asked: %+v", local)
	}

	w = reach(t, messages.StatusAuthorized)
	w.now = w.p.DueAt(w.now)
	expired := w.settle(w.do(&messages.Resume{}).Call, o).Events[0].Data.(*messages.PaymentExpired)
	if expired.Gateway != "primary" || expired.Attempt != 1 || expired.LatencyMS != 42 {
		t.Errorf("expired: %+v", expired)
	}
}

func TestVoidReleasesWhatIsLeftOfAPartialCapture(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusPartiallyCaptured)
	w.settle(w.do(&messages.Void{}).Call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.ReleasedMinor != 6000 {
		t.Fatalf("released %d", w.p.ReleasedMinor)
	}
}

func TestConfirmAfterAnAction(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	d := w.do(&messages.Confirm{})
	if op := d.Call.Operation; op.Kind != messages.OperationConfirm || op.GatewayReference != "gw_1" || op.ID == w.p.Operations[0].ID {
		t.Fatalf("asks the gateway for %+v", op)
	}
	w.settle(d.Call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.Operations[0].Status != payment.OperationSucceeded || w.p.NextAction != nil {
		t.Fatalf("the action is left open: %+v", w.p.Operations[0])
	}
}

func TestConfirmWithAnotherMethodAuthorizesAnew(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresPaymentMethod)
	d := w.do(&messages.Confirm{PaymentMethod: "pm_other"})
	if op := d.Call.Operation; op.Kind != messages.OperationAuthorize || op.PaymentMethod != "pm_other" {
		t.Fatalf("asks the gateway for %+v", op)
	}
	w.settle(d.Call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
}

func TestUnknownClimbsTheLadderToAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.settle(w.do(create("")).Call, unknown())
	expectTypes(t, d.Events, messages.EventPaymentOutcomeUnknown)
	ages := append(w.policy.UnknownReplays, w.policy.UnknownLookups...)
	for i, age := range ages {
		if due := w.p.DueAt(w.now); !due.Equal(start.Add(age)) {
			t.Fatalf("check %d is due after %s, want %s", i, due.Sub(start), age)
		}
		w.now = start.Add(age).Add(-time.Microsecond)
		if d := w.do(&messages.Resume{}); d.Call != nil {
			t.Fatalf("check %d comes early", i)
		}
		w.now = start.Add(age)
		d := w.do(&messages.Resume{})
		if d.Call == nil || d.Call.Lookup != (i >= len(w.policy.UnknownReplays)) {
			t.Fatalf("check %d: %+v", i, d.Call)
		}
		if d.Call.Operation.ID != w.p.Operations[0].ID || d.Call.Operation.Gateway != "primary" {
			t.Fatalf("check %d asks under another key or elsewhere: %+v", i, d.Call.Operation)
		}
		w.settle(d.Call, unknown())
	}
	expectStatus(t, w, messages.StatusReview)
	if !w.p.DueAt(w.now).IsZero() {
		t.Fatal("a review has a timer")
	}
}

// Everything was down for a day: by now the gateway has forgotten the key, and would charge anew
// under it.
func TestAForgottenKeyIsNotReplayed(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusUnknown)
	w.now = start.Add(w.policy.ReplayWithin)
	if d := w.do(&messages.Resume{}); d.Call == nil || !d.Call.Lookup {
		t.Fatalf("%+v", d.Call)
	}

	w = newWorld(t)
	w.do(create(""))
	w.pass(w.policy.ReplayWithin)
	d := w.commit(payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()))
	if d.Call == nil || !d.Call.Lookup {
		t.Fatalf("%+v", d.Call)
	}
	w.settle(d.Call, messages.Outcome{Kind: messages.OutcomeNotFound})
	expectStatus(t, w, messages.StatusUnknown)
}

func TestUnknownIsResolvedByTheGateway(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusUnknown)
	w.now = w.p.DueAt(w.now)
	d := w.settle(w.do(&messages.Resume{}).Call, succeeded())
	expectTypes(t, d.Events, messages.EventPaymentOutcomeResolved, messages.EventPaymentCaptured)
	if cause := d.Events[1].CausationID; cause != w.p.Operations[0].CausedBy || cause == w.last.ID {
		t.Fatalf("the capture is caused by %q, not by the create", cause)
	}
	if w.p.Operations[0].Tries != 2 {
		t.Fatalf("%d tries", w.p.Operations[0].Tries)
	}
}

func TestLookupThatFindsNothingProvesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.UnknownReplays = nil
	w.settle(w.do(create("")).Call, unknown())
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, messages.Outcome{Kind: messages.OutcomeNotFound})
	expectStatus(t, w, messages.StatusUnknown)
}

func TestUnknownCaptureAndRefundKeepTheirMoneyReserved(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.settle(w.do(&messages.Capture{AmountMinor: minor(6000)}).Call, unknown())
	checkAnswer(t, w.do(&messages.Capture{AmountMinor: minor(4001)}), messages.RejectAmountExceedsCapturable)
	checkAnswer(t, w.do(&messages.Void{}), messages.RejectOutcomeUnknown)

	w = reach(t, messages.StatusCaptured)
	w.settle(w.do(&messages.Refund{AmountMinor: minor(6000)}).Call, unknown())
	checkAnswer(t, w.do(&messages.Refund{AmountMinor: minor(6000)}), messages.RejectAmountExceedsRefundable)
}

func TestNotSentIsTriedAgainAndGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.do(create(""))
	for range 100 {
		w.settle(d.Call, notSent())
		if w.p.Status == messages.StatusFailed {
			break
		}
		expectStatus(t, w, messages.StatusAuthorizing)
		if wait := w.p.DueAt(w.now).Sub(w.now); wait < w.policy.NotSentInitial || wait > w.policy.NotSentMax*5/4 {
			t.Fatalf("waits %s", wait)
		}
		w.now = w.p.DueAt(w.now)
		d = w.do(&messages.Resume{})
		expectTypes(t, d.Events, messages.EventOperationSent)
	}
	if w.p.FailureCode != messages.FailureGatewayUnavailable {
		t.Fatalf("status %s, failure %q", w.p.Status, w.p.FailureCode)
	}
	if age := w.now.Sub(start); age > w.policy.NotSentGiveUp {
		t.Fatalf("gave up after %s", age)
	}
}

func TestNotSentWaitsAsLongAsTheGatewayAsks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := notSent()
	o.RetryAfter = 90 * time.Second
	w.settle(w.do(create("")).Call, o)
	if wait := w.p.DueAt(w.now).Sub(w.now); wait < o.RetryAfter || wait > o.RetryAfter*5/4 {
		t.Fatalf("waits %s", wait)
	}
}

// A worker dies after sending; the next one can't reach the gateway. That proves nothing about the
// first.
func TestNotSentAfterAnUnansweredAttemptIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(create(""))
	d := w.commit(payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()))
	expectTypes(t, d.Events, messages.EventOperationSent)
	if d.Call.Operation.Attempt != 2 {
		t.Fatalf("attempt %d", d.Call.Operation.Attempt)
	}
	w.settle(d.Call, notSent())
	expectStatus(t, w, messages.StatusUnknown)
}

// Two workers have one operation in hand; the slower one could not reach the gateway, the other may
// have.
func TestNotSentBesideALaterAttemptIsUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow := w.do(create("")).Call
	w.commit(payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()))
	w.settle(slow, notSent())
	expectStatus(t, w, messages.StatusUnknown)
}

func TestNotSentDoesNotClimbTheLadder(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusUnknown)
	for range 50 {
		w.now = w.p.DueAt(w.now)
		w.settle(w.do(&messages.Resume{}).Call, notSent())
	}
	if op := w.p.Operations[0]; op.Status != payment.OperationUnknown || op.Checks != 0 {
		t.Fatalf("%+v", op)
	}
}

func TestALookupThatCouldNotBeAskedDoesNotClimbTheLadder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.UnknownReplays = nil
	w.settle(w.do(create("")).Call, unknown())
	for range 50 {
		w.now = w.p.DueAt(w.now)
		call := w.do(&messages.Resume{}).Call
		if call == nil || !call.Lookup {
			t.Fatalf("%+v", call)
		}
		// An outcome without a try: the breaker was open.
		w.commit(payment.Settle(w.p, w.last, *call, unknown(), w.env()))
	}
	if op := w.p.Operations[0]; op.Status != payment.OperationUnknown || op.Checks != 0 {
		t.Fatalf("%+v", op)
	}
}

func TestContinueLeavesWhatHasSettledAlone(t *testing.T) {
	t.Parallel()
	for _, status := range []messages.Status{
		messages.StatusCaptured, messages.StatusUnknown, messages.StatusRequiresAction, messages.StatusFailed, messages.StatusReview,
	} {
		w := reach(t, status)
		if d := payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()); d.Call != nil || len(d.Events) > 0 {
			t.Errorf("%s: %+v", status, d)
		}
	}
	w := reach(t, messages.StatusNone)
	if d := payment.Continue(w.p, w.command(create("")), "", w.env()); d.Call != nil {
		t.Errorf("none: %+v", d.Call)
	}
}

func TestASecondAnswerChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := w.do(create("")).Call
	w.settle(call, succeeded())
	for _, o := range []messages.Outcome{succeeded(), unknown(), notSent(), {Kind: messages.OutcomePending}, requiresAction()} {
		if d := w.settle(call, o); len(d.Events) != 0 {
			t.Errorf("%s: %v", o.Kind, types(d.Events))
		}
	}
}

func TestAContradictionOpensAReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := w.do(create("")).Call
	w.settle(call, declined(messages.DeclineSoft))
	d := w.settle(call, succeeded())
	expectTypes(t, d.Events, messages.EventPaymentReviewOpened)
	expectStatus(t, w, messages.StatusReview)
	checkAnswer(t, w.do(&messages.Confirm{PaymentMethod: "pm"}), messages.RejectInvalidState)

	// A person finds that the money did move.
	w.do(&messages.Resolve{OperationID: call.Operation.ID, Outcome: messages.ResolvedSucceeded, Actor: "ada", Reason: "statement", GatewayReference: "gw_9"})
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.CapturedMinor != 10000 || w.p.GatewayReference != "gw_9" || w.p.Decline != nil {
		t.Fatalf("%+v", w.p)
	}
}

func TestAContradictedSuccessIsNotTakenBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	call := w.do(create("")).Call
	w.settle(call, succeeded())
	w.settle(call, declined(messages.DeclineSoft))
	expectStatus(t, w, messages.StatusReview)
	resolve := messages.Resolve{OperationID: call.Operation.ID, Actor: "ada", Reason: "statement", Outcome: messages.ResolvedSucceeded}
	expectTypes(t, w.do(&resolve).Events, messages.EventPaymentOutcomeResolved)
	expectStatus(t, w, messages.StatusCaptured)
}

// What moved because of a success stands on it: then the success cannot be recorded as a failure.
func TestASuccessThatMoneyStandsOnIsNotTakenBack(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusPartiallyRefunded)
	w.settle(&payment.Call{Operation: messages.Operation{ID: w.p.Operations[0].ID}}, declined(messages.DeclineSoft))
	expectStatus(t, w, messages.StatusReview)
	resolve := messages.Resolve{OperationID: w.p.Operations[0].ID, Actor: "ada", Reason: "statement", Outcome: messages.ResolvedFailed}
	checkAnswer(t, w.do(&resolve), messages.RejectInvalidState)
}

func TestReversalsThatTheMoneyNoLongerAllowsAreRefused(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	failed := w.do(&messages.Capture{AmountMinor: minor(6000)}).Call
	w.settle(failed, declined(messages.DeclineSoft))
	w.settle(w.do(&messages.Capture{AmountMinor: minor(6000)}).Call, succeeded())
	w.settle(failed, succeeded())
	resolve := messages.Resolve{OperationID: failed.Operation.ID, Actor: "ada", Reason: "statement", Outcome: messages.ResolvedSucceeded}
	checkAnswer(t, w.do(&resolve), messages.RejectAmountExceedsCapturable)
	resolve.Outcome = messages.ResolvedFailed
	w.do(&resolve)
	expectStatus(t, w, messages.StatusPartiallyCaptured)
}

func TestReviewIsResolvedByAPerson(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome messages.ResolvedOutcome
		status  messages.Status
	}{{messages.ResolvedSucceeded, messages.StatusCaptured}, {messages.ResolvedFailed, messages.StatusFailed}} {
		w := reach(t, messages.StatusReview)
		d := w.do(&messages.Resolve{
			OperationID: w.p.Operations[0].ID, Outcome: c.outcome, Actor: "ada", Reason: "the bank's statement", Evidence: "case 7",
			GatewayReference: "gw_7",
		})
		expectStatus(t, w, c.status)
		got := d.Events[0].Data.(*messages.PaymentOutcomeResolved)
		if got.Actor != "ada" || got.Evidence != "case 7" || got.ResolvedBy != "operator" {
			t.Fatalf("%+v", got)
		}
	}
}

func TestAnotherAmountOpensAReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := succeeded()
	o.AmountMinor = 9999
	d := w.settle(w.do(create("")).Call, o)
	expectTypes(t, d.Events, messages.EventPaymentCaptured, messages.EventPaymentReviewOpened)
	expectStatus(t, w, messages.StatusReview)
	if w.p.CapturedMinor != 9999 || w.p.Operations[0].Review != messages.ReviewAmount {
		t.Fatalf("%+v", w.p)
	}
}

func TestADuplicateDeclineIsLookedUpFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, declined(messages.DeclineLookUpFirst))
	expectStatus(t, w, messages.StatusUnknown)
}

func TestPendingIsAskedAboutUntilItSettles(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	w.settle(w.do(&messages.Refund{}).Call, messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "re_1"})
	for range 3 {
		w.now = w.p.DueAt(w.now)
		d := w.do(&messages.Resume{})
		if d.Call == nil || !d.Call.Lookup {
			t.Fatalf("%+v", d.Call)
		}
		w.settle(d.Call, messages.Outcome{Kind: messages.OutcomePending})
	}
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, succeeded())
	expectStatus(t, w, messages.StatusRefunded)
}
