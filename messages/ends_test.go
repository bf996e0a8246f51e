package messages_test

import (
	"testing"

	"github.com/seed-384b1f8a/tender/messages"
)

func TestEndsCommand(t *testing.T) {
	t.Parallel()
	ends := map[messages.CommandName][]messages.EventType{
		messages.CommandCreate: {
			messages.EventPaymentAuthorized, messages.EventPaymentCaptured, messages.EventPaymentActionRequired,
			messages.EventPaymentDeclined, messages.EventPaymentFailed, messages.EventPaymentVoided, messages.EventPaymentReviewOpened,
		},
		messages.CommandCapture: {messages.EventPaymentCaptured, messages.EventPaymentCaptureFailed, messages.EventPaymentReviewOpened},
		messages.CommandVoid:    {messages.EventPaymentVoided, messages.EventPaymentVoidFailed, messages.EventPaymentReviewOpened},
		messages.CommandRefund:  {messages.EventRefundSucceeded, messages.EventRefundFailed, messages.EventPaymentReviewOpened},
		messages.CommandCompensate: {
			messages.EventPaymentCompensated, messages.EventPaymentCompensationFailed, messages.EventPaymentReviewOpened,
		},
		messages.CommandResolve: {messages.EventPaymentOutcomeResolved},
		messages.CommandResume:  nil,
		messages.CommandNotify:  nil,
	}
	ends[messages.CommandConfirm] = append(ends[messages.CommandCreate], messages.EventPaymentConfirmFailed)
	samples := sampleEvents()
	for _, name := range messages.CommandNames() {
		for _, e := range samples {
			want := false
			for _, end := range ends[name] {
				want = want || e.Type() == end
			}
			if rejected, ok := e.Data.(*messages.CommandRejected); ok {
				want = rejected.Command == name
			}
			if got := messages.EndsCommand(name, e); got != want {
				t.Errorf("EndsCommand(%s, %s) = %v", name, e.Type(), got)
			}
		}
	}
}
