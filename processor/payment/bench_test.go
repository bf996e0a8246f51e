package payment_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/payment"
)

// BenchmarkDecide decides a create with automatic capture and settles its gateway's answer: all
// decisions of the plainest payment.
func BenchmarkDecide(b *testing.B) {
	id := uuid.MustParse("0198c1f0-7e4b-7c3a-9d52-3f1f6c2a9b10")
	cmd := messages.Command{
		ID: "order-1", Tenant: "acme", PaymentID: id, IdempotencyKey: "order-1", CorrelationID: id.String(),
		Body: &messages.Create{
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: messages.CaptureAutomatic,
			CustomerID: "cus_1", MerchantReference: "order 1",
		},
	}
	env := payment.Env{Now: start, Policy: payment.DefaultPolicy(), Route: func() payment.Route { return payment.Route{Gateway: "simulator", Rule: "default"} }}
	b.ReportAllocs()
	for b.Loop() {
		begun := payment.Decide(&payment.Payment{}, cmd, env)
		settled := payment.Settle(begun.Payment, cmd, *begun.Call, messages.Outcome{
			Kind: messages.OutcomeSucceeded, GatewayReference: "ch_1", Tries: 1,
		}, env)
		if settled.Payment.Status != messages.StatusCaptured {
			b.Fatal(settled.Payment.Status)
		}
	}
}
