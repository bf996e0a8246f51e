package gateway_test

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
)

// giftCards is a gateway of your own: it answers for its successes, its refusals and its doubts,
// and leaves time limits, repeated tries and the circuit breaker to the Guard.
type giftCards struct{}

func (giftCards) Do(_ context.Context, op messages.Operation) messages.Outcome {
	if op.PaymentMethod != "gift_1" {
		d := gateway.ClassifyDecline("card_not_supported", "", "")
		return messages.Outcome{Kind: messages.OutcomeDeclined, Decline: &d}
	}
	return messages.Outcome{Kind: messages.OutcomeSucceeded, GatewayReference: "gift/" + op.ID, AmountMinor: op.AmountMinor}
}

func (giftCards) Lookup(context.Context, messages.Operation) messages.Outcome {
	return messages.Outcome{Kind: messages.OutcomeUnknown, Detail: "gift cards cannot be asked"}
}

// A gateway written in Go needs the two methods of Gateway; a Guard makes it safe to call.
func Example() {
	gifts, err := gateway.NewGuard("gifts", giftCards{}, gateway.Settings{ConcurrencyMax: 32})
	if err != nil {
		fmt.Println(err)
		return
	}
	gateways, err := gateway.NewSet(gifts)
	if err != nil {
		fmt.Println(err)
		return
	}

	chosen, _ := gateways.Get("gifts")
	id := uuid.MustParse("01980000-0000-7000-8000-000000000001")
	for n, method := range []string{"gift_1", "gift_2"} {
		o := chosen.Do(context.Background(), messages.Operation{
			ID: fmt.Sprintf("%s-%d", id, n+1), Kind: messages.OperationAuthorize, PaymentID: id, Attempt: 1,
			AmountMinor: 1999, Currency: "USD", PaymentMethod: method,
		})
		fmt.Println(method, o.Kind)
		if o.Decline != nil {
			fmt.Println(o.Decline.Code, o.Decline.Class, o.Decline.RecommendedAction)
		}
	}
	// Output:
	// gift_1 succeeded
	// gift_2 declined
	// card_not_supported fix_data retry_with_different_payment_method
}
