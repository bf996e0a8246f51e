package books

import (
	"strings"
	"testing"
	"time"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func TestOursAnOpenOperationWithoutATimerIsFound(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name string
		op   payment.Operation
		want bool
	}{
		{"unknown", payment.Operation{Status: payment.OperationUnknown}, true},
		{"not sent", payment.Operation{Status: payment.OperationNotSent}, true},
		{"pending, which has a schedule", payment.Operation{Status: payment.OperationPending, PendingSince: now, NextCheckAt: now.Add(time.Minute)}, false},
		{"unknown, to be checked", payment.Operation{Status: payment.OperationUnknown, NextCheckAt: now.Add(time.Minute)}, false},
		{"under way", payment.Operation{Status: payment.OperationSent, SentAt: now}, false},
		{"in review", payment.Operation{Status: payment.OperationManualReview}, false},
		{"succeeded", payment.Operation{Status: payment.OperationSucceeded}, false},
	} {
		test.op.ID, test.op.Kind = "op-1", messages.OperationCapture
		problem := forgotten(&payment.Payment{Operations: []payment.Operation{test.op}}, now)
		if (problem != "") != test.want || test.want && !strings.Contains(problem, "op-1") {
			t.Errorf("%s: %q", test.name, problem)
		}
	}
}
