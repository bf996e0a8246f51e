package client_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

// A producer publishes a payment and waits for what becomes of it.
func ExampleClient() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	url, stop := exampleBus(ctx)
	defer stop()

	producer, err := client.Connect(ctx, client.Config{URL: url, Tenant: "acme", Source: "/shop"})
	if err != nil {
		log.Fatal(err)
	}
	defer producer.Close()
	ack, err := producer.Publish(ctx, messages.Command{
		PaymentID:      uuid.MustParse("0198f3a2-7c1e-7b44-9a55-3f0a6c1d2e88"),
		IdempotencyKey: "order-42",
		Body:           &messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored in", ack.Stream, "at", ack.Sequence)
	event, err := producer.Wait(ctx, ack.Command)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(event.Type(), event.Status)
	// Output:
	// stored in PAYMENTS_CMD at 1
	// payment.captured captured
}

// exampleBus runs a NATS server with the streams, and in place of Tender one worker that finds
// every create captured.
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
	if _, err := bus.Provision(ctx, js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		log.Fatal(err)
	}
	consumer, err := js.Consumer(ctx, messages.StreamCommands, bus.ConsumerWorkers)
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
