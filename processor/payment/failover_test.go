package payment_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// withFallbacks is a world in which "second" and "third" stand behind "primary".
func withFallbacks(t *testing.T) *world {
	w := newWorld(t)
	w.route.Fallbacks, w.route.FailoverOnDecline = []string{"second", "third"}, true
	return w
}

func expectCall(t *testing.T, d payment.Decision, gateway string) *payment.Call {
	t.Helper()
	switch {
	case gateway == "" && d.Call == nil:
	case d.Call == nil || d.Call.Operation.Gateway != gateway:
		t.Fatalf("calls %+v, want %q", d.Call, gateway)
	}
	return d.Call
}

func TestNotSentFailsOverUnderANewKey(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	first := w.do(create("")).Call
	d := w.settle(first, notSent())
	expectTypes(t, d.Events, messages.EventOperationNotSent, messages.EventPaymentRouted)
	second := expectCall(t, d, "second")
	if second.Operation.ID == first.Operation.ID {
		t.Fatal("the same key at two gateways")
	}
	d = w.settle(second, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
	if w.p.Gateway != "second" || d.Events[0].CausationID != w.p.Operations[0].CausedBy {
		t.Fatalf("gateway %s, cause %s", w.p.Gateway, d.Events[0].CausationID)
	}
	// What follows goes where the money is.
	expectCall(t, w.do(&messages.Refund{}), "second")
}

func TestEveryGatewayIsTriedOnceARoundThenThePaymentIsParked(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	call := expectCall(t, w.do(create("")), "primary")
	call = expectCall(t, w.settle(call, notSent()), "second")
	call = expectCall(t, w.settle(call, notSent()), "third")
	d := w.settle(call, notSent())
	expectTypes(t, d.Events, messages.EventPaymentParked)
	expectCall(t, d, "")
	since := w.p.Operations[2].NotSentSince

	// The next round begins where the last ended, and goes round.
	w.now = w.p.DueAt(w.now)
	call = expectCall(t, w.do(&messages.Resume{}), "third")
	call = expectCall(t, w.settle(call, notSent()), "primary")
	call = expectCall(t, w.settle(call, notSent()), "second")
	expectTypes(t, w.settle(call, notSent()).Events, messages.EventOperationNotSent)
	if got := w.p.Operations[len(w.p.Operations)-1].NotSentSince; !got.Equal(since) {
		t.Fatalf("the outage is counted from %s, not from %s", got, since)
	}
}

func TestUnknownNeverFailsOver(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.settle(w.do(create("")).Call, unknown())
	for w.p.Status == messages.StatusUnknown {
		w.now = w.p.DueAt(w.now)
		call := expectCall(t, w.do(&messages.Resume{}), "primary")
		w.settle(call, unknown())
	}
	expectStatus(t, w, messages.StatusReview)
	if len(w.p.Operations) != 1 {
		t.Fatalf("%d operations", len(w.p.Operations))
	}
}

// The first attempt ended without an answer: proof that the second was not sent proves nothing
// about the first.
func TestDoubtNeverFailsOver(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.do(create(""))
	d := w.commit(payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()))
	expectCall(t, w.settle(d.Call, notSent()), "")
	expectStatus(t, w, messages.StatusUnknown)
}

func TestDeclinesThatFailOver(t *testing.T) {
	t.Parallel()
	for class, want := range map[messages.DeclineClass]string{
		messages.DeclineSoft: "second", messages.DeclineNeverRetry: "", messages.DeclineFixData: "",
		messages.DeclineStepUp: "", messages.DeclineLookUpFirst: "",
	} {
		w := withFallbacks(t)
		expectCall(t, w.settle(w.do(create("")).Call, declined(class)), want)
		w = withFallbacks(t)
		w.route.FailoverOnDecline = false
		expectCall(t, w.settle(w.do(create("")).Call, declined(class)), "")
	}
}

func TestADeclineIsNotTakenToTheSameGatewayAgain(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.route.Fallbacks = []string{"second"}
	call := expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
	w.settle(call, notSent())
	w.now = w.p.DueAt(w.now)
	call = expectCall(t, w.do(&messages.Resume{}), "second")
	expectCall(t, w.settle(call, notSent()), "")
}

func TestTheLastDeclineIsThePayments(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.route.Fallbacks = []string{"second"}
	call := expectCall(t, w.settle(w.do(create("")).Call, declined(messages.DeclineSoft)), "second")
	d := w.settle(call, declined(messages.DeclineSoft))
	expectTypes(t, d.Events, messages.EventPaymentDeclined)
	expectStatus(t, w, messages.StatusRequiresPaymentMethod)
}

func TestCapturesAndRefundsStayWhereTheMoneyIs(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.settle(w.do(create(messages.CaptureManual)).Call, succeeded())
	d := w.settle(w.do(&messages.Capture{}).Call, notSent())
	expectTypes(t, d.Events, messages.EventPaymentParked)
	expectCall(t, d, "")
}

// A worker dies after it has failed over: the command, delivered again, goes on with the second
// gateway.
func TestContinueFollowsTheFailover(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.settle(w.do(create("")).Call, notSent())
	d := w.commit(payment.Continue(w.p, w.last, w.p.Operations[0].ID, w.env()))
	if call := expectCall(t, d, "second"); call.Operation.Attempt != 2 {
		t.Fatalf("attempt %d", call.Operation.Attempt)
	}
}
