package payment_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func TestAuthorizationExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := succeeded()
	o.CaptureBefore = start.Add(time.Hour)
	w.settle(w.do(create(messages.CaptureManual)).Call, o)
	if !w.p.DueAt(w.now).Equal(o.CaptureBefore) {
		t.Fatalf("due %s", w.p.DueAt(w.now))
	}
	w.now = o.CaptureBefore
	checkAnswer(t, w.do(&messages.Capture{}), messages.RejectAuthorizationExpired)
	d := w.do(&messages.Resume{})
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid {
		t.Fatalf("the gateway is not asked: %+v", d.Call)
	}
	expectTypes(t, w.settle(d.Call, succeeded()).Events, messages.EventPaymentExpired)
	expectStatus(t, w, messages.StatusExpired)
	if w.p.ReleasedMinor != 10000 || !w.p.DueAt(w.now).IsZero() {
		t.Fatalf("released %d, due %s", w.p.ReleasedMinor, w.p.DueAt(w.now))
	}
}

func TestAnAuthorizationThatTheGatewayLetLapseExpires(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.now = w.p.DueAt(w.now)
	lapsed := declined(messages.DeclineNeverRetry)
	lapsed.Decline.Code = "authorization_expired"
	w.settle(w.do(&messages.Resume{}).Call, lapsed)
	expectStatus(t, w, messages.StatusExpired)
}

func TestAnAuthorizationDoesNotExpireOnDoubt(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusAuthorized)
	w.now = w.p.DueAt(w.now)
	w.settle(w.do(&messages.Resume{}).Call, unknown())
	expectStatus(t, w, messages.StatusUnknown)
}

func TestExpiryWaitsForACaptureInFlight(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCapturing)
	w.now = w.p.CaptureBefore.Add(time.Hour)
	w.policy.SentStale = 1000 * time.Hour
	if d := w.do(&messages.Resume{}); len(d.Events) != 0 {
		t.Fatalf("%v", types(d.Events))
	}
}

func TestAnActionThatNeverComesIsVoidedAndExpires(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusRequiresAction)
	w.now = w.p.DueAt(w.now)
	d := w.do(&messages.Resume{})
	if d.Call == nil || d.Call.Operation.Kind != messages.OperationVoid {
		t.Fatalf("%+v", d.Call)
	}
	expectTypes(t, w.settle(d.Call, succeeded()).Events, messages.EventPaymentExpired)
	expectStatus(t, w, messages.StatusExpired)
}

func TestAStaleOperationIsTakenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.do(create(""))
	w.pass(w.policy.SentStale)
	d := w.do(&messages.Resume{})
	if d.Call == nil || d.Call.Operation.Attempt != 2 {
		t.Fatalf("%+v", d.Call)
	}
	w.settle(d.Call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
}

// A retry by timer dies between its commit and its answer: the same resume, delivered again, takes
// it up at once.
func TestARedeliveredResumeTakesUpItsOwnAttempt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(create("")).Call, notSent())
	w.now = w.p.DueAt(w.now)
	w.do(&messages.Resume{})
	other := w.command(&messages.Resume{})
	if d := payment.Decide(w.p, other, w.env()); d.Call != nil {
		t.Fatal("another resume takes up an attempt that is under way")
	}
	if d := payment.Decide(w.p, w.last, w.env()); d.Call == nil || d.Call.Operation.Attempt != 3 {
		t.Fatalf("%+v", d.Call)
	}
}

func TestTooEarly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status messages.Status
		want   bool
	}{
		{messages.StatusNone, true},
		{messages.StatusAuthorizing, true},
		{messages.StatusUnknown, false},
		{messages.StatusCaptured, false},
		{messages.StatusAuthorized, false},
	} {
		w := reach(t, c.status)
		if d := w.do(&messages.Capture{}); d.TooEarly() != c.want {
			t.Errorf("%s: too early is %t", c.status, d.TooEarly())
		}
	}
}
