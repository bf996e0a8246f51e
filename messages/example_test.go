package messages_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/nats-io/nats.go"

	"github.com/seed-384b1f8a/tender/messages"
)

func ExampleParseMoney() {
	dollars, err := messages.ParseMoney("19.99", "USD")
	fmt.Println(dollars.AmountMinor, dollars, err)
	_, err = messages.ParseMoney("19.99", "JPY")
	fmt.Println(err)
	// Output:
	// 1999 19.99 USD <nil>
	// amount has more than the 0 decimal digits of JPY
}

func ExampleDecodeCommand() {
	header := nats.Header{"Nats-Msg-Id": {"order-42"}}
	subject := "payments.cmd.acme.refund.0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"
	command, err := messages.DecodeCommand(subject, header, []byte(`{"amount_minor":500}`))
	if err != nil {
		log.Fatal(err)
	}
	refund := command.Body.(*messages.Refund)
	fmt.Println(command.Tenant, command.Name(), *refund.AmountMinor, command.IdempotencyKey)

	_, err = messages.DecodeCommand(subject, header, []byte(`{"amount_minor":5.00}`))
	var refused *messages.DecodeError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code+":", refused)
	}
	// Output:
	// acme refund 500 order-42
	// invalid_field: amount_minor must be a whole number of minor units, such as 1999 for 19.99 USD
}

func ExampleDecodeEvent() {
	body := []byte(`{"payment_id":"0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88","tenant":"acme","version":3,"type":"payment.captured",
		"status":"captured","occurred_at":"2026-07-12T09:30:05.123456Z","correlation_id":"basket-7","causation_id":"create:order-42",
		"operation_id":"0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88-1","gateway":"primary","attempt":1,"amount_minor":1999,
		"amount_captured_minor":1999,"amount_capturable_minor":0,"gateway_reference":"ch_1"}`)
	event, err := messages.DecodeEvent(nil, body)
	var unknown *messages.UnknownEventTypeError
	switch {
	case errors.As(err, &unknown):
		return // Of a later version: skip it.
	case err != nil:
		log.Fatal(err)
	}
	switch data := event.Data.(type) {
	case *messages.PaymentCaptured:
		fmt.Println("captured", messages.FormatMinor(data.AmountMinor, "USD"))
	case *messages.PaymentDeclined:
		fmt.Println("declined:", data.Code)
	}
	// Output: captured 19.99 USD
}

func ExampleMaskCardNumbers() {
	fmt.Printf("%s\n", messages.MaskCardNumbers([]byte(`{"payment_method":"4242 4242 4242 4242"}`)))
	// Output: {"payment_method":"**** **** **** 4242"}
}
