package payment_test

import (
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
)

// patient is a create that asks for retries.
func patient(attempts int, until time.Duration) *messages.Create {
	c := create("")
	c.Retry = &messages.Retry{MaxAttempts: attempts, Until: start.Add(until)}
	return c
}

func advised(action messages.RecommendedAction) messages.Outcome {
	o := declined(messages.DeclineSoft)
	o.Decline.RecommendedAction = action
	return o
}

func TestASoftDeclineIsRetriedAsAdvised(t *testing.T) {
	t.Parallel()
	for action, want := range map[messages.RecommendedAction]time.Duration{
		"":                                        time.Hour,
		messages.ActionRetryLater:                 time.Hour,
		messages.ActionRetryAfter1Hour:            time.Hour,
		messages.ActionRetryAfter24Hours:          24 * time.Hour,
		messages.ActionRetryAfter2Days:            48 * time.Hour,
		messages.ActionRetryAfter4Days:            96 * time.Hour,
		messages.ActionRetryAfter6Days:            144 * time.Hour,
		messages.ActionRetryAfter8Days:            192 * time.Hour,
		messages.ActionRetryAfter10Days:           240 * time.Hour,
		messages.ActionDoNotRetry:                 0,
		messages.ActionStopRecurring:              0,
		messages.ActionRetryAfterInstrumentUpdate: 0,
		messages.ActionRetryWithDifferentMethod:   0,
	} {
		w := newWorld(t)
		w.settle(w.do(patient(3, 1000*time.Hour)).Call, advised(action))
		switch due := w.p.DueAt(w.now); {
		case want == 0 && !due.IsZero():
			t.Errorf("%q is retried at %s", action, due)
		case want != 0 && !due.Equal(start.Add(want)):
			t.Errorf("%q is retried after %s, want %s", action, due.Sub(start), want)
		}
	}
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body     *messages.Create
		attempts int
	}{
		"as many as were asked for":     {patient(3, 1000*time.Hour), 3},
		"in time":                       {patient(15, 8*time.Hour), 3}, // after 1 h and 6 h more; 24 h more is too late
		"none were asked for":           {create(""), 1},
		"the networks' cap for a month": {patient(15, 100*24*time.Hour), 15},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.policy.SoftRetries = []time.Duration{time.Hour, 6 * time.Hour, 24 * time.Hour}
			call := w.do(c.body).Call
			attempts := 0
			for call != nil {
				attempts++
				w.settle(call, declined(messages.DeclineSoft))
				if w.p.DueAt(w.now).IsZero() {
					break
				}
				w.now = w.p.DueAt(w.now)
				d := w.do(&messages.Resume{})
				expectTypes(t, d.Events, messages.EventPaymentRouted)
				call = d.Call
			}
			if attempts != c.attempts {
				t.Fatalf("%d attempts, want %d", attempts, c.attempts)
			}
			expectStatus(t, w, messages.StatusRequiresPaymentMethod)
		})
	}
}

func TestNoMoreThanTenAttemptsADay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.SoftRetries = []time.Duration{time.Hour}
	call := w.do(patient(15, 1000*time.Hour)).Call
	attempts := 0
	for call != nil {
		attempts++
		w.settle(call, declined(messages.DeclineSoft))
		if w.p.DueAt(w.now).IsZero() {
			break
		}
		w.now = w.p.DueAt(w.now)
		call = w.do(&messages.Resume{}).Call
	}
	if attempts != 10 {
		t.Fatalf("%d attempts in one day", attempts)
	}
}

func TestARetryThatSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.do(patient(3, 1000*time.Hour)).Call
	w.settle(first, declined(messages.DeclineSoft))
	w.now = w.p.DueAt(w.now)
	second := w.do(&messages.Resume{}).Call
	if second.Operation.ID == first.Operation.ID || second.Operation.PaymentMethod != first.Operation.PaymentMethod {
		t.Fatalf("%+v", second.Operation)
	}
	w.settle(second, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
	if !w.p.DueAt(w.now).IsZero() {
		t.Fatalf("due %s", w.p.DueAt(w.now))
	}
}

func TestAConfirmTakesTheRetrysPlace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.settle(w.do(patient(3, 1000*time.Hour)).Call, declined(messages.DeclineSoft))
	call := w.do(&messages.Confirm{PaymentMethod: "pm_other"}).Call
	if !w.p.RetryAt.IsZero() {
		t.Fatal("the retry stands beside the confirmation")
	}
	w.settle(call, succeeded())
	expectStatus(t, w, messages.StatusCaptured)
}

func TestHardDeclinesAreNotRetried(t *testing.T) {
	t.Parallel()
	for _, class := range []messages.DeclineClass{messages.DeclineNeverRetry, messages.DeclineFixData, messages.DeclineStepUp} {
		w := newWorld(t)
		w.settle(w.do(patient(3, 1000*time.Hour)).Call, declined(class))
		if !w.p.DueAt(w.now).IsZero() {
			t.Errorf("%s is retried", class)
		}
	}
}

func TestAnExpiryIsWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.ExpiryWarning = 24 * time.Hour
	w.settle(w.do(create(messages.CaptureManualMultiple)).Call, succeeded())
	w.settle(w.do(&messages.Capture{AmountMinor: minor(4000)}).Call, succeeded())
	before := w.p.CaptureBefore
	if due := w.p.DueAt(w.now); !due.Equal(before.Add(-24 * time.Hour)) {
		t.Fatalf("due %s", due)
	}
	w.now = w.p.DueAt(w.now)
	d := w.do(&messages.Resume{})
	expectTypes(t, d.Events, messages.EventPaymentExpiring)
	if e := d.Events[0].Data.(*messages.PaymentExpiring); e.AmountCapturableMinor != 6000 || !e.CaptureBefore.Equal(before) {
		t.Fatalf("%+v", e)
	}
	if due := w.p.DueAt(w.now); !due.Equal(before) {
		t.Fatalf("after the warning due %s", due)
	}
}

func TestAShortAuthorizationIsNotWarnedOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.ExpiryWarning = 24 * time.Hour
	o := succeeded()
	o.CaptureBefore = start.Add(time.Hour)
	w.settle(w.do(create(messages.CaptureManual)).Call, o)
	if !w.p.DueAt(w.now).Equal(o.CaptureBefore) {
		t.Fatalf("due %s", w.p.DueAt(w.now))
	}
}

// Attempts at other gateways count towards the networks' cap for a month as well.
func TestOursTheMonthlyCapCountsEveryAttempt(t *testing.T) {
	t.Parallel()
	w := withFallbacks(t)
	w.route.FailoverOnDecline = false
	w.policy.SoftRetries = []time.Duration{24 * time.Hour}
	call := w.do(patient(15, 1000*time.Hour)).Call
	call = expectCall(t, w.settle(call, notSent()), "second")
	call = expectCall(t, w.settle(call, notSent()), "third")
	for call != nil {
		w.settle(call, declined(messages.DeclineSoft))
		if w.p.DueAt(w.now).IsZero() {
			break
		}
		w.now = w.p.DueAt(w.now)
		call = w.do(&messages.Resume{}).Call
	}
	if n := len(w.p.Operations); n != 15 {
		t.Fatalf("%d authorizations within a month", n)
	}
}
