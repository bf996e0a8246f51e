package simulator_test

import (
	"context"
	"fmt"
	"net"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway/httpgw"
	"github.com/seed-384b1f8a/tender/processor/lab/simulator"
)

// A gateway that charges and then fails to say so is asked again under the same key, and has
// charged once.
func Example() {
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = s.Close() }()
	ctx, stop := context.WithCancel(context.Background())
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		stop()
		return
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener, "") }()

	client, err := httpgw.New(httpgw.Config{URL: "http://" + listener.Addr().String()})
	if err != nil {
		fmt.Println(err)
		stop()
		return
	}
	payment := uuid.MustParse("01980000-0000-7000-8000-000000000001")
	operation := messages.Operation{
		ID: payment.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: payment, Attempt: 1,
		AmountMinor: 1999, Currency: "USD", PaymentMethod: "sim_500_after_charge", Capture: true,
	}
	for range 2 {
		fmt.Println(client.Do(ctx, operation).Kind)
	}
	for _, entry := range s.Ledger() {
		fmt.Println(entry.Sequence, entry.Kind, entry.CapturedMinor, entry.Currency)
	}
	client.Close()
	stop()
	fmt.Println(<-served)
	// Output:
	// unknown
	// succeeded
	// 1 authorize 1999 USD
	// <nil>
}
