package sim_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/gatewaytest"
	"github.com/seed-384b1f8a/tender/processor/gateway/sim"
)

// A gateway that charges and then fails to say so is asked again under the same key, and has
// charged once.
func Example() {
	simulator, err := sim.New(sim.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = simulator.Close() }()
	payment := uuid.MustParse("01980000-0000-7000-8000-000000000001")
	operation := messages.Operation{
		ID: payment.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: payment, Attempt: 1,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "sim_500_after_charge", Capture: true,
	}
	for range 2 {
		fmt.Println(simulator.Do(context.Background(), operation).Kind)
	}
	for _, entry := range simulator.Ledger() {
		fmt.Println(entry.Sequence, entry.Kind, entry.CapturedMinor, entry.Currency)
	}
	// Output:
	// unknown
	// succeeded
	// 1 authorize 1999 USD
}

func BenchmarkGuardedSimulator(b *testing.B) {
	s, err := sim.New(sim.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	g, err := gateway.NewGuard("sim", s, gateway.Settings{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		gatewaytest.Want(b, g.Do(b.Context(), gatewaytest.NewPayment().Charge("pm_card_visa", 1999)), messages.OutcomeSucceeded)
	}
}
