package messages_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
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

// A producer publishes a payment and waits for what becomes of it.
func ExampleClient() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, stop := exampleBus(ctx)
	defer stop()

	client, err := messages.Connect(ctx, messages.ClientConfig{URL: url, Tenant: "acme", Source: "/shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ack, err := client.Publish(ctx, messages.Command{
		PaymentID:      uuid.MustParse("0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"),
		IdempotencyKey: "order-42",
		Body:           &messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored in", ack.Stream, "at", ack.Sequence)
	event, err := client.Wait(ctx, ack.Command)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Type(), event.Status)
	// Output:
	// stored in PAYMENTS_CMD at 1
	// payment.captured captured
}

// exampleBus runs a NATS server with the streams, and in place of Tender one worker that finds every create captured.
func exampleBus(ctx context.Context) (url string, stop func()) {
	server, err := servers.StartNATS(ctx, servers.NATSOptions{})
	if err != nil {
		log.Fatal(err)
	}
	conn, err := nats.Connect(server.URL())
	if err != nil {
		log.Fatal(err)
	}
	js, err := jetstream.New(conn)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := messages.Provision(ctx, js, messages.StreamOptions{}, messages.ProvisionOptions{}); err != nil {
		log.Fatal(err)
	}
	consumer, err := js.Consumer(ctx, messages.StreamCommands, messages.ConsumerWorkers)
	if err != nil {
		log.Fatal(err)
	}
	worker, err := consumer.Consume(func(msg jetstream.Msg) { captureInstead(ctx, js, msg) })
	if err != nil {
		log.Fatal(err)
	}
	return server.URL(), func() {
		worker.Stop()
		<-worker.Closed()
		conn.Close()
		if err := server.Stop(); err != nil {
			log.Print(err)
		}
	}
}

func captureInstead(ctx context.Context, js jetstream.JetStream, msg jetstream.Msg) {
	command, err := messages.DecodeCommand(msg.Subject(), msg.Headers(), msg.Data())
	if err != nil {
		log.Fatal(err)
	}
	event := messages.Event{
		PaymentID: command.PaymentID, Tenant: command.Tenant, Version: 1, OccurredAt: time.Now(), Status: messages.StatusCaptured,
		CorrelationID: command.CorrelationID, CausationID: command.ID, Data: &messages.PaymentCaptured{AmountMinor: 1999},
	}
	subject, _, body, err := messages.EncodeEvent(event)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := js.Publish(ctx, subject, body, jetstream.WithMsgID(messages.EventMessageID(event))); err != nil {
		log.Fatal(err)
	}
	if err := msg.Ack(); err != nil {
		log.Print(err)
	}
}
