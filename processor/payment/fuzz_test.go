package payment_test

import (
	"errors"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// FuzzDecide reads each byte as a step: a command, an answer, a redelivery or a wait. No order of
// them may panic, break a limit, or make a history that does not fold.
func FuzzDecide(f *testing.F) {
	f.Add([]byte{0, 16, 2, 16, 4, 16})
	f.Add([]byte{1, 16, 2, 19, 2, 16, 24, 5, 17, 24, 25})
	f.Add([]byte{2, 20, 3, 16, 4, 16, 4, 18, 26, 26})
	f.Fuzz(func(t *testing.T, steps []byte) {
		w := newWorld(t)
		var calls []payment.Call
		w.last = w.command(&messages.Resume{})
		for _, step := range steps[:min(len(steps), 200)] {
			calls = fuzzStep(w, calls, step)
		}
	})
}

func fuzzStep(w *world, calls []payment.Call, step byte) []payment.Call {
	bodies := []messages.CommandBody{
		create(""), create(messages.CaptureManual), create(messages.CaptureManualMultiple),
		&messages.Confirm{}, &messages.Confirm{PaymentMethod: "pm"}, &messages.Capture{},
		&messages.Capture{AmountMinor: minor(int64(step)*40 + 1)}, &messages.Void{}, &messages.Refund{},
		&messages.Refund{AmountMinor: minor(int64(step)*30 + 1)}, &messages.Resume{},
		&messages.Resolve{OperationID: firstOperation(w.p), Outcome: messages.ResolvedSucceeded},
		&messages.Resolve{OperationID: firstOperation(w.p), Outcome: messages.ResolvedFailed},
	}
	wrong := succeeded()
	wrong.AmountMinor = 1
	answers := []messages.Outcome{
		succeeded(), unknown(), notSent(), declined(messages.DeclineSoft), requiresAction(),
		declined(messages.DeclineNeverRetry),
		{Kind: messages.OutcomePending},
		{Kind: messages.OutcomeNotFound},
		wrong,
	}
	kind, pick := step%4, int(step/4)
	switch {
	case kind <= 1:
		if d := w.do(bodies[pick%len(bodies)]); d.Call != nil {
			return append(calls, *d.Call)
		}
	case kind == 2 && len(calls) > 0:
		// An answer may come twice: the call stays in hand half of the time.
		w.settle(&calls[pick%len(calls)], answers[pick%len(answers)])
		if pick%2 == 0 {
			return calls[1:]
		}
	case len(w.p.Operations) > 0 && pick%2 == 0:
		op := w.p.Operations[pick%len(w.p.Operations)]
		if d := w.commit(payment.Continue(w.p, w.last, op.ID, w.env())); d.Call != nil {
			return append(calls, *d.Call)
		}
	default:
		w.pass(time.Duration(pick) * 20 * time.Minute)
	}
	return calls
}

// FuzzFold feeds damaged histories: events dropped, doubled and swapped give a HistoryError or a
// payment, never a panic.
func FuzzFold(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0, 2, 1})
	f.Fuzz(func(t *testing.T, order []byte) {
		w := newWorld(t)
		w.settle(w.do(create(messages.CaptureManualMultiple)).Call, succeeded())
		w.settle(w.do(&messages.Capture{AmountMinor: minor(5000)}).Call, unknown())
		w.now = w.p.DueAt(w.now)
		w.settle(w.do(&messages.Resume{}).Call, succeeded())
		w.settle(w.do(&messages.Refund{AmountMinor: minor(4000)}).Call, succeeded())
		w.settle(w.do(&messages.Void{}).Call, succeeded())
		var damaged []messages.Event
		for i, o := range order {
			e := w.history[int(o)%len(w.history)]
			e.Version = int64(i + 1)
			damaged = append(damaged, e)
		}
		var history *payment.HistoryError
		if _, err := payment.Fold(damaged); err != nil && !errors.As(err, &history) {
			t.Fatalf("not a HistoryError: %v", err)
		}
	})
}
