package main

import (
	"strings"
	"testing"

	"github.com/seed-384b1f8a/tender/cmd/internal/term"
	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

func TestOperationInReview(t *testing.T) {
	t.Parallel()
	op := func(id string, status payment.OperationStatus) payment.Operation {
		return payment.Operation{ID: id, Status: status}
	}
	contradicted := op("c", payment.OperationFailed)
	contradicted.Review = messages.ReviewContradiction
	for name, c := range map[string]struct {
		operations []payment.Operation
		want       string
		code       term.ExitCode
		says       string
	}{
		"one in review": {
			operations: []payment.Operation{op("a", payment.OperationSucceeded), op("b", payment.OperationManualReview)}, want: "b",
		},
		"one contradicted":   {operations: []payment.Operation{contradicted, op("u", payment.OperationUnknown)}, want: "c"},
		"several":            {operations: []payment.Operation{contradicted, op("b", payment.OperationManualReview)}, code: term.ExitUsage, says: "c, b"},
		"unknown as yet":     {operations: []payment.Operation{op("u", payment.OperationUnknown)}, code: term.ExitNo, says: "--operation u"},
		"nothing to look at": {operations: []payment.Operation{op("a", payment.OperationSucceeded)}, code: term.ExitNo, says: "not in review"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := operationInReview(&payment.Payment{Operations: c.operations})
			if got != c.want || term.CodeOf(err) != c.code {
				t.Fatalf("found %q (%v, exit code %d), want %q and %d", got, err, term.CodeOf(err), c.want, c.code)
			}
			if err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q does not tell of %q", err, c.says)
			}
		})
	}
}
