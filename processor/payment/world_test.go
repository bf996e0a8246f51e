package payment_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// start is when every test's world begins.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// failer is what testing.T and rapid.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// world is one payment, its history, and the time. It stands for everything around the core: it
// commits what is decided at once and hands over the call.
type world struct {
	t       failer
	now     time.Time
	policy  payment.Policy
	p       *payment.Payment
	history []messages.Event
	last    messages.Command
	seq     int
	route   payment.Route
	// asked are the operations that the latest command has asked about to no avail.
	asked payment.Asked
}

func newWorld(t failer) *world {
	w := &world{
		t: t, now: start, policy: payment.DefaultPolicy(), p: &payment.Payment{},
		route: payment.Route{Gateway: "primary", Rule: "default"},
	}
	w.policy.ExpiryWarning = 0
	return w
}

func (w *world) env() payment.Env {
	return payment.Env{Now: w.now, Policy: w.policy, Route: func() payment.Route { return w.route }, Asked: w.asked}
}

func (w *world) command(body messages.CommandBody) messages.Command {
	w.seq++
	key := "key-" + string(rune('a'+w.seq%26)) + time.Duration(w.seq).String()
	return messages.Command{
		ID: key, IdempotencyKey: key, Tenant: "acme", PaymentID: uuid.UUID{15: 1}, CorrelationID: "order-1", Body: body,
	}
}

// do decides and commits a command.
func (w *world) do(body messages.CommandBody) payment.Decision {
	w.t.Helper()
	w.last, w.asked = w.command(body), payment.Asked{}
	return w.commit(payment.Decide(w.p, w.last, w.env()))
}

// settle decides and commits a gateway's answer to the call.
func (w *world) settle(call *payment.Call, o messages.Outcome) payment.Decision {
	w.t.Helper()
	if call == nil {
		w.t.Fatalf("there is no call to answer")
	}
	o.Tries = 1
	if o.Kind == messages.OutcomeSucceeded && o.AmountMinor == 0 {
		// A gateway that did as it was asked.
		o.AmountMinor = call.Operation.AmountMinor
	}
	return w.commit(payment.Settle(w.p, w.last, *call, o, w.env()))
}

func (w *world) commit(d payment.Decision) payment.Decision {
	w.t.Helper()
	if int64(len(d.Events)) != d.Payment.Version-w.p.Version {
		w.t.Fatalf("%d events take version %d to %d", len(d.Events), w.p.Version, d.Payment.Version)
	}
	if d.Again != nil {
		w.asked[d.Again.OperationID] = d.Again.At
	}
	w.p = d.Payment
	w.history = append(w.history, d.Events...)
	w.checkFold()
	return d
}

// checkFold holds the state to its history.
func (w *world) checkFold() {
	w.t.Helper()
	folded, err := payment.Fold(w.history)
	if err != nil {
		w.t.Fatalf("fold: %v", err)
	}
	if diff := cmp.Diff(folded, w.p); diff != "" && w.p.Version > 0 {
		w.t.Fatalf("the history folds into another state:\n%s", diff)
	}
}

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func minor(n int64) *int64 { return &n }

func succeeded() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gw_1"}
}

func unknown() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "timeout"}
}

func notSent() messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeNotSent, Detail: "dial refused"}
}

func declined(class messages.DeclineClass) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &messages.Decline{Code: "some_code", Class: class}}
}

func requiresAction() messages.Outcome {
	return messages.Outcome{
		Kind: messages.OutcomeRequiresAction, GatewayReference: "gw_1",
		NextAction: &messages.NextAction{Type: "redirect", URL: "https://bank.example/3ds"},
	}
}

func create(method messages.CaptureMethod) *messages.Create {
	return &messages.Create{AmountMinor: 10000, Currency: "EUR", PaymentMethod: "pm_card_visa", CaptureMethod: method}
}

// reach brings a payment into each status by the shortest way that leaves it there.
func reach(t *testing.T, status messages.Status) *world {
	t.Helper()
	w := newWorld(t)
	authorized := func(method messages.CaptureMethod) {
		w.settle(w.do(create(method)).Call, succeeded())
	}
	switch status {
	case messages.StatusNone:
	case messages.StatusCreated:
		// Created is passed through within one decision; only a history cut short rests in it.
		d := payment.Decide(w.p, w.command(create("")), w.env())
		w.history = d.Events[:1]
		p, err := payment.Fold(w.history)
		if err != nil {
			t.Fatal(err)
		}
		w.p = p
	case messages.StatusAuthorizing:
		w.do(create(""))
	case messages.StatusProcessing:
		w.settle(w.do(create("")).Call, messages.Outcome{Kind: messages.OutcomePending, GatewayReference: "gw_1"})
	case messages.StatusRequiresAction:
		w.settle(w.do(create("")).Call, requiresAction())
	case messages.StatusRequiresPaymentMethod:
		w.settle(w.do(create("")).Call, declined(messages.DeclineSoft))
	case messages.StatusAuthorized:
		authorized(messages.CaptureManualMultiple)
	case messages.StatusCapturing:
		authorized(messages.CaptureManualMultiple)
		w.do(&messages.Capture{AmountMinor: minor(4000), Final: true})
	case messages.StatusPartiallyCaptured:
		authorized(messages.CaptureManualMultiple)
		w.settle(w.do(&messages.Capture{AmountMinor: minor(4000)}).Call, succeeded())
	case messages.StatusCaptured:
		authorized(messages.CaptureAutomatic)
	case messages.StatusPartiallyRefunded:
		authorized(messages.CaptureAutomatic)
		w.settle(w.do(&messages.Refund{AmountMinor: minor(1000)}).Call, succeeded())
	case messages.StatusRefunded:
		authorized(messages.CaptureAutomatic)
		w.settle(w.do(&messages.Refund{}).Call, succeeded())
	case messages.StatusVoiding:
		authorized(messages.CaptureManual)
		w.do(&messages.Void{})
	case messages.StatusVoided:
		authorized(messages.CaptureManual)
		w.settle(w.do(&messages.Void{}).Call, succeeded())
	case messages.StatusExpired:
		authorized(messages.CaptureManual)
		w.pass(w.policy.AuthorizationExpiry)
		w.settle(w.do(&messages.Resume{}).Call, succeeded())
	case messages.StatusFailed:
		w.settle(w.do(create("")).Call, declined(messages.DeclineNeverRetry))
	case messages.StatusUnknown:
		w.settle(w.do(create("")).Call, unknown())
	case messages.StatusReview:
		w.policy.UnknownReplays, w.policy.UnknownLookups = nil, nil
		w.settle(w.do(create("")).Call, unknown())
	default:
		t.Fatalf("no way to %s", status)
	}
	if got := w.p.Status; got != status && status != messages.StatusNone {
		t.Fatalf("the way to %s ends in %s", status, got)
	}
	return w
}
