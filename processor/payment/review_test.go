package payment_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// A refund in review made the next one panic, at each of its deliveries.
func TestOursARefundDuringTheReviewOfAnotherIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, succeeded())
	part := int64(1000)
	w.policy.UnknownReplays, w.policy.UnknownLookups = nil, nil
	w.settle(w.do(&messages.Refund{AmountMinor: &part}).Call, messages.Outcome{Kind: messages.OutcomeUnknown})
	if first := w.p.Operations[1].Status; first != payment.OperationManualReview {
		t.Fatalf("the first refund is %s", first)
	}
	if d := w.do(&messages.Refund{AmountMinor: &part}); d.Refusal == nil || d.Refusal.Code != messages.RejectInvalidState {
		t.Errorf("the second refund: %+v", d)
	}
}

// A compensation that was provably not sent had no timer: the review that it is to end kept it from
// going on.
func TestOursAParkedCompensationGoesOnDuringTheReview(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create(messages.CaptureManualMultiple)).Call, succeeded())
	part := int64(1000)
	w.settle(w.do(&messages.Capture{AmountMinor: &part}).Call, moved(1100))
	expectStatus(t, w, messages.StatusReview)
	capture := w.p.Operations[1]
	w.settle(w.do(&messages.Compensate{OperationID: capture.ID, Actor: "ada", Reason: "too much"}).Call, notSent())
	due := w.p.TimerAfter(w.now, w.asked).At
	if due.IsZero() {
		t.Fatal("a parked compensation has no timer")
	}
	w.now = due
	d := w.do(&messages.Resume{})
	if d.Call == nil || d.Call.Lookup || d.Call.Operation.AmountMinor != 100 {
		t.Fatalf("the timer leads to %+v", d.Call)
	}
	w.settle(d.Call, succeeded())
	if w.p.ExcessMinor != 0 || w.p.InReview() || w.p.CapturedMinor != part {
		t.Errorf("the payment is %s with %d captured and an excess of %d", w.p.Status, w.p.CapturedMinor, w.p.ExcessMinor)
	}
}

// A notification that leads to a question claimed to have started the operation that is asked
// about, which another command had started.
func TestOursAQuestionStartsNoOperation(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.do(&messages.Void{})
	void := &w.p.Operations[1]
	refused := says(void, messages.NotifyOutcome, messages.OutcomeDeclined, 0)
	refused.DeclineCode, refused.DeclineClass = "processing_error", messages.DeclineSoft
	d := w.do(refused)
	if d.Call == nil || !d.Call.Lookup {
		t.Fatalf("a refused void is not asked about: %+v", d.Call)
	}
	if started := d.OperationID(); started != "" {
		t.Errorf("the notification says that it started operation %s", started)
	}
}
