package stripegw_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/google/uuid"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/gateway"
	"github.com/seed-384b1f8a/tender/processor/gateway/stripegw"
)

func Example() {
	// In place of Stripe, a server that approves one payment.
	payment := uuid.MustParse("019a0000-0000-7000-8000-000000000000")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{
			"id": "pi_1", "object": "payment_intent", "status": "requires_capture", "capture_method": "manual",
			"amount": 1999, "amount_capturable": 1999, "currency": "eur",
			"metadata": {"tender_payment_id": "`+payment.String()+`", "tender_operation_id": "`+payment.String()+`-1"}}`)
	}))
	defer api.Close()

	stripe, err := stripegw.New(stripegw.Config{
		APIKey:    "sk_test_example",
		ReturnURL: "https://shop.example/checkout/done",
		URL:       api.URL, // Leave it out to reach Stripe itself.
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stripe.Close()
	guard, err := gateway.NewGuard("stripe", stripe, gateway.Settings{})
	if err != nil {
		fmt.Println(err)
		return
	}
	o := guard.Do(context.Background(), messages.Operation{
		ID: payment.String() + "-1", Kind: messages.OperationAuthorize, Tenant: "acme", PaymentID: payment, Gateway: "stripe",
		Attempt: 1, AmountMinor: 1999, Currency: "EUR", PaymentMethod: "pm_card_visa",
	})
	fmt.Println(o.Kind, o.GatewayReference, messages.FormatMinor(o.AmountMinor, "EUR"))
	// Output: succeeded pi_1 19.99 EUR
}
