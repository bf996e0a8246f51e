package payment_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

const (
	accepted = messages.RejectionCode("")
	// silent marks a command that neither is refused nor does anything.
	silent = messages.RejectionCode("(nothing happens)")
	// asks marks a command that only looks something up.
	asks = messages.RejectionCode("(a lookup)")
)

// row says what each command gets in one status. The bodies are the plainest ones: capture and
// refund of everything, resume with nothing due, resolve of the payment's first operation, notify
// of its success.
type row struct {
	status                                                            messages.Status
	create, confirm, capture, void, refund, resume, resolving, notify messages.RejectionCode
}

var rows = []row{
	{
		messages.StatusNone, accepted, messages.RejectPaymentNotFound, messages.RejectPaymentNotFound,
		messages.RejectPaymentNotFound, messages.RejectPaymentNotFound, silent, messages.RejectPaymentNotFound, messages.RejectPaymentNotFound,
	},
	{
		messages.StatusCreated, messages.RejectPaymentExists, messages.RejectInvalidState, messages.RejectInvalidState,
		accepted, messages.RejectInvalidState, silent, messages.RejectOperationNotFound, messages.RejectOperationNotFound,
	},
	{
		messages.StatusAuthorizing, messages.RejectPaymentExists, messages.RejectOperationInProgress,
		messages.RejectOperationInProgress, messages.RejectOperationInProgress, messages.RejectOperationInProgress,
		silent, messages.RejectInvalidState, accepted,
	},
	{
		messages.StatusProcessing, messages.RejectPaymentExists, messages.RejectOperationInProgress,
		messages.RejectOperationInProgress, accepted, messages.RejectOperationInProgress,
		asks, messages.RejectInvalidState, accepted,
	},
	{
		messages.StatusRequiresAction, messages.RejectPaymentExists, accepted, messages.RejectInvalidState, accepted,
		messages.RejectInvalidState, silent, messages.RejectInvalidState, accepted,
	},
	{
		messages.StatusRequiresPaymentMethod, messages.RejectPaymentExists, messages.RejectPaymentMethodRequired,
		messages.RejectInvalidState, accepted, messages.RejectInvalidState, silent, messages.RejectInvalidState, accepted,
	},
	{
		messages.StatusAuthorized, messages.RejectPaymentExists, messages.RejectInvalidState, accepted, accepted,
		messages.RejectInvalidState, silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusCapturing, messages.RejectPaymentExists, messages.RejectInvalidState,
		messages.RejectOperationInProgress, messages.RejectOperationInProgress, messages.RejectOperationInProgress,
		silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusPartiallyCaptured, messages.RejectPaymentExists, messages.RejectInvalidState, accepted, accepted,
		accepted, silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusCaptured, messages.RejectPaymentExists, messages.RejectInvalidState,
		messages.RejectNothingToCapture, messages.RejectInvalidState, accepted, silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusPartiallyRefunded, messages.RejectPaymentExists, messages.RejectInvalidState,
		messages.RejectNothingToCapture, messages.RejectInvalidState, accepted, silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusRefunded, messages.RejectPaymentExists, messages.RejectInvalidState,
		messages.RejectNothingToCapture, messages.RejectInvalidState, messages.RejectNothingToRefund, silent,
		messages.RejectInvalidState, silent,
	},
	{
		messages.StatusVoiding, messages.RejectPaymentExists, messages.RejectOperationInProgress,
		messages.RejectOperationInProgress, messages.RejectOperationInProgress, messages.RejectOperationInProgress,
		silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusVoided, messages.RejectPaymentExists, messages.RejectInvalidState, messages.RejectInvalidState,
		messages.RejectInvalidState, messages.RejectInvalidState, silent, messages.RejectInvalidState, silent,
	},
	{
		messages.StatusExpired, messages.RejectPaymentExists, messages.RejectInvalidState,
		messages.RejectAuthorizationExpired, messages.RejectInvalidState, messages.RejectInvalidState, silent,
		messages.RejectInvalidState, silent,
	},
	{
		messages.StatusFailed, messages.RejectPaymentExists, messages.RejectInvalidState, messages.RejectInvalidState,
		messages.RejectInvalidState, messages.RejectInvalidState, silent, messages.RejectInvalidState, accepted,
	},
	{
		messages.StatusUnknown, messages.RejectPaymentExists, messages.RejectOutcomeUnknown,
		messages.RejectOutcomeUnknown, messages.RejectOutcomeUnknown, messages.RejectOutcomeUnknown, silent, accepted, accepted,
	},
	{
		messages.StatusReview, messages.RejectPaymentExists, messages.RejectInvalidState, messages.RejectInvalidState,
		messages.RejectInvalidState, messages.RejectInvalidState, silent, accepted, accepted,
	},
}

func TestDecideEveryCommandInEveryStatus(t *testing.T) {
	t.Parallel()
	for _, r := range rows {
		for _, c := range []struct {
			body messages.CommandBody
			want messages.RejectionCode
		}{
			{create(""), r.create},
			{&messages.Confirm{}, r.confirm},
			{&messages.Capture{}, r.capture},
			{&messages.Void{}, r.void},
			{&messages.Refund{}, r.refund},
			{&messages.Resume{}, r.resume},
			{&messages.Resolve{Outcome: messages.ResolvedFailed, Actor: "ada", Reason: "looked it up"}, r.resolving},
			{&messages.Notify{
				Gateway: "primary", EventID: "evt", Kind: messages.NotifyOutcome, Outcome: messages.OutcomeSucceeded, AmountMinor: 10000,
			}, r.notify},
		} {
			t.Run(string(r.status)+"/"+string(c.body.CommandName()), func(t *testing.T) {
				t.Parallel()
				w := reach(t, r.status)
				switch body := c.body.(type) {
				case *messages.Resolve:
					body.OperationID = firstOperation(w.p)
				case *messages.Notify:
					body.OperationID = firstOperation(w.p)
				}
				checkAnswer(t, w.do(c.body), c.want)
			})
		}
	}
}

func checkAnswer(t *testing.T, d payment.Decision, want messages.RejectionCode) {
	t.Helper()
	switch want {
	case silent:
		if len(d.Events) != 0 || d.Call != nil || d.Refusal != nil {
			t.Fatalf("something happened: %+v", d)
		}
	case asks:
		if len(d.Events) != 0 || d.Call == nil || !d.Call.Lookup {
			t.Fatalf("does not only ask: %+v", d)
		}
	case accepted:
		if d.Refusal != nil {
			t.Fatalf("refused: %+v", d.Refusal)
		}
		if len(d.Events) == 0 {
			t.Fatal("accepted, and nothing happened")
		}
	default:
		if d.Refusal == nil || d.Refusal.Code != want {
			t.Fatalf("got %+v, want the refusal %s", d.Refusal, want)
		}
		if d.Call != nil || len(d.Events) != 1 || d.Refusal.Message == "" {
			t.Fatalf("a refusal is one event, a message and no call: %+v", d)
		}
	}
}

func firstOperation(p *payment.Payment) string {
	if len(p.Operations) == 0 {
		return "none"
	}
	return p.Operations[0].ID
}

func TestTheTableNamesEveryStatus(t *testing.T) {
	t.Parallel()
	named := map[messages.Status]bool{}
	for _, r := range rows {
		named[r.status] = true
	}
	for _, s := range messages.Statuses() {
		if !named[s] {
			t.Errorf("no row for %s", s)
		}
	}
}

func TestRefusalsOfAmountsAndMethods(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		status messages.Status
		body   messages.CommandBody
		want   messages.RejectionCode
	}{
		{"capture too much", messages.StatusAuthorized, &messages.Capture{AmountMinor: minor(10001)}, messages.RejectAmountExceedsCapturable},
		{"capture too much of the rest", messages.StatusPartiallyCaptured, &messages.Capture{AmountMinor: minor(6001)}, messages.RejectAmountExceedsCapturable},
		{"capture the rest", messages.StatusPartiallyCaptured, &messages.Capture{AmountMinor: minor(6000)}, accepted},
		{"refund too much", messages.StatusCaptured, &messages.Refund{AmountMinor: minor(10001)}, messages.RejectAmountExceedsRefundable},
		{"refund too much of the rest", messages.StatusPartiallyRefunded, &messages.Refund{AmountMinor: minor(9001)}, messages.RejectAmountExceedsRefundable},
		{"refund the rest", messages.StatusPartiallyRefunded, &messages.Refund{AmountMinor: minor(9000)}, accepted},
		{"refund more than a partial capture", messages.StatusPartiallyCaptured, &messages.Refund{AmountMinor: minor(4001)}, messages.RejectAmountExceedsRefundable},
		{"confirm an action with a method", messages.StatusRequiresAction, &messages.Confirm{PaymentMethod: "pm"}, messages.RejectPaymentMethodUnexpected},
		{"confirm a decline with a method", messages.StatusRequiresPaymentMethod, &messages.Confirm{PaymentMethod: "pm"}, accepted},
		{"final capture beside another", messages.StatusCapturing, &messages.Capture{AmountMinor: minor(1)}, messages.RejectOperationInProgress},
		{"resolve what isn't there", messages.StatusReview, &messages.Resolve{OperationID: "x"}, messages.RejectOperationNotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := reach(t, c.status)
			checkAnswer(t, w.do(c.body), c.want)
		})
	}
}

func TestNoGatewayFailsThePayment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	env := w.env()
	env.Route = nil
	w.last = w.command(create(""))
	w.commit(payment.Decide(w.p, w.last, env))
	if w.p.Status != messages.StatusFailed || w.p.FailureCode != messages.FailureNoGateway {
		t.Fatalf("status %s, failure %q", w.p.Status, w.p.FailureCode)
	}
}

func TestRejectLeavesThePaymentAlone(t *testing.T) {
	t.Parallel()
	w := reach(t, messages.StatusCaptured)
	cmd := w.command(&messages.Refund{})
	d := w.commit(payment.Reject(w.p, cmd, messages.CommandRejected{Code: messages.RejectIdempotencyConflict, Message: "key used"}, w.env()))
	if d.Refusal == nil || d.Refusal.Command != messages.CommandRefund || d.Refusal.IdempotencyKey != cmd.IdempotencyKey {
		t.Fatalf("refusal: %+v", d.Refusal)
	}
	if w.p.Status != messages.StatusCaptured || d.Call != nil {
		t.Fatalf("status %s, call %v", w.p.Status, d.Call)
	}
}
