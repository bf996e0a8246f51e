package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/messages/client"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
)

func newClient(t testing.TB, conn *nats.Conn) *client.Client {
	t.Helper()
	producer, err := client.New(conn, client.Config{Tenant: "acme", Source: "/shop"})
	if err != nil {
		t.Fatal(err)
	}
	return producer
}

func aCreate() *messages.Create {
	return &messages.Create{AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa"}
}

// emit publishes an event as the relay would.
func emit(t testing.TB, js jetstream.JetStream, cause messages.Command, version int64, data messages.EventData) messages.Event {
	t.Helper()
	e, msg := relayed(t, cause, version, data)
	if _, err := js.PublishMsg(t.Context(), msg, jetstream.WithMsgID(messages.EventMessageID(e))); err != nil {
		t.Fatal(err)
	}
	return e
}

// relayed returns an event and the message that the relay would publish.
func relayed(t testing.TB, cause messages.Command, version int64, data messages.EventData) (messages.Event, *nats.Msg) {
	t.Helper()
	e := messages.Event{
		PaymentID: cause.PaymentID, Tenant: cause.Tenant, Version: version, Status: messages.StatusCaptured,
		OccurredAt:    time.Date(2026, 7, 12, 12, 0, 0, 0, time.UTC),
		CorrelationID: cause.CorrelationID, CausationID: cause.ID, Data: data,
	}
	subject, header, body, err := messages.EncodeEvent(e)
	if err != nil {
		t.Fatal(err)
	}
	return e, &nats.Msg{Subject: subject, Header: toHeader(header), Data: body}
}

func TestClientPublishes(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js)
	producer := newClient(t, js.Conn())
	command := messages.Command{IdempotencyKey: "order-42", Body: aCreate()}
	ack, err := producer.Publish(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	if ack.Stream != messages.StreamCommands || ack.Sequence != 1 || ack.Duplicate {
		t.Errorf("ack %+v", ack)
	}
	sent := ack.Command
	if sent.ID != "create:order-42" || sent.PaymentID.Version() != 7 || sent.Tenant != "acme" {
		t.Errorf("sent %+v", sent)
	}
	again, err := producer.Publish(t.Context(), sent)
	if err != nil || !again.Duplicate || again.Sequence != 1 {
		t.Errorf("published again: %+v, %v", again, err)
	}

	stream, err := js.Stream(t.Context(), messages.StreamCommands)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := stream.GetMsg(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := messages.DecodeCommand(msg.Subject, msg.Header, msg.Data)
	if err != nil {
		t.Fatal(err)
	}
	if got.PayloadHash != sent.PayloadHash || got.ID != sent.ID || got.IdempotencyKey != "order-42" {
		t.Errorf("on the bus %+v, want %+v", got, sent)
	}
	if source := msg.Header.Get(messages.HeaderCESource); source != "/shop" {
		t.Errorf("source %q", source)
	}
}

func TestClientKeepsTenantsAndPaymentsApart(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js)
	other, err := client.New(js.Conn(), client.Config{Tenant: "umbrella"})
	if err != nil {
		t.Fatal(err)
	}
	for i, producer := range []*client.Client{newClient(t, js.Conn()), newClient(t, js.Conn()), other} {
		ack, err := producer.Publish(t.Context(), messages.Command{ID: "1", Body: aCreate()})
		if err != nil || ack.Duplicate {
			t.Errorf("command %d: %+v, %v", i, ack, err)
		}
	}
}

func TestClientRefusesWhatNoWorkerTakes(t *testing.T) {
	t.Parallel()
	producer := newClient(t, servers.NATS(t).Connect(t))
	card := aCreate()
	card.PaymentMethod = cardText
	for name, tt := range map[string]struct {
		command messages.Command
		want    messages.DecodeCode
	}{
		"no body":           {messages.Command{}, messages.CodeMissingField},
		"no payment":        {messages.Command{Body: &messages.Void{}}, messages.CodeInvalidPaymentID},
		"no amount":         {messages.Command{Body: &messages.Create{Currency: "USD", PaymentMethod: "x"}}, messages.CodeMissingField},
		"a card number":     {messages.Command{Body: card}, messages.CodeCardNumberPresent},
		"a card number key": {messages.Command{IdempotencyKey: cardText, Body: aCreate()}, messages.CodeCardNumberPresent},
		"a long key":        {messages.Command{IdempotencyKey: strings.Repeat("k", 256), Body: aCreate()}, messages.CodeInvalidHeader},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := producer.Publish(context.Background(), tt.command)
			wantCode(t, err, tt.want)
		})
	}
	_, err := client.New(nil, client.Config{Tenant: "Acme"})
	wantCode(t, err, messages.CodeInvalidTenant)
}

func TestClientWithoutStreams(t *testing.T) {
	t.Parallel()
	producer := newClient(t, servers.NATS(t).Connect(t))
	ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
	if !errors.Is(err, client.ErrStreamMissing) || !strings.Contains(err.Error(), messages.StreamCommands) {
		t.Errorf("publish: %v", err)
	}
	if ack.Command.PaymentID == uuid.Nil {
		t.Error("the failed ack doesn't say which command to publish again")
	}
	_, err = producer.Wait(t.Context(), ack.Command)
	if !errors.Is(err, client.ErrStreamMissing) || !strings.Contains(err.Error(), messages.StreamEvents) {
		t.Errorf("wait: %v", err)
	}
}

func TestClientWithFullStream(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js, bus.StreamOptions{CommandMaxBytes: 10})
	_, err := newClient(t, js.Conn()).Publish(t.Context(), messages.Command{Body: aCreate()})
	if !errors.Is(err, client.ErrStreamFull) {
		t.Errorf("publish: %v", err)
	}
}

func TestClientPublishesOverARestart(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	conn := server.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js := servers.JetStream(t, conn)
	provision(t, js)
	producer := newClient(t, conn)
	server.Down()
	type result struct {
		ack client.Ack
		err error
	}
	published := make(chan result, 1)
	go func() {
		ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
		published <- result{ack, err}
	}()
	if err := server.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := <-published; r.err != nil || r.ack.Sequence != 1 {
		t.Errorf("published over a restart: %+v, %v", r.ack, r.err)
	}
}

// TestClientPublishesUntilItIsAnswered has a stream that stores the first message and loses its
// acknowledgement.
func TestClientPublishesUntilItIsAnswered(t *testing.T) {
	t.Parallel()
	conn := servers.NATS(t).Connect(t)
	ids := make(chan string, 2)
	_, err := conn.Subscribe("payments.cmd.>", func(msg *nats.Msg) {
		ids <- msg.Header.Get(messages.HeaderMessageID)
		if len(ids) == 2 {
			if err := msg.Respond([]byte(`{"stream":"PAYMENTS_CMD","seq":1,"duplicate":true}`)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	producer, err := client.New(conn, client.Config{Tenant: "acme", AckWait: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
	if err != nil || !ack.Duplicate {
		t.Fatalf("ack %+v, %v", ack, err)
	}
	if first, second := <-ids, <-ids; first != second || first == "" {
		t.Errorf("published under %q, then under %q", first, second)
	}
}

func TestClientContext(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js)
	producer := newClient(t, js.Conn())
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := producer.Publish(ended, messages.Command{Body: aCreate()}); !errors.Is(err, context.Canceled) {
		t.Errorf("publish: %v", err)
	}
	ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := producer.Wait(soon, ack.Command); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("wait for what never comes: %v", err)
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	js := newBus(t)
	provision(t, js)
	producer := newClient(t, js.Conn())
	ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
	if err != nil {
		t.Fatal(err)
	}
	create := ack.Command
	emit(t, js, create, 1, &messages.PaymentCreated{AmountMinor: 1999, Currency: "USD"})
	emit(t, js, create, 2, &messages.PaymentOutcomeUnknown{})
	captured := emit(t, js, create, 4, &messages.PaymentCaptured{AmountMinor: 1999})

	refund := create
	refund.ID, refund.IdempotencyKey, refund.Body = "refund:1", "1", &messages.Refund{}
	emit(t, js, refund, 5, &messages.RefundCreated{AmountMinor: 1999})

	got, err := producer.Wait(t.Context(), create)
	if err != nil || got.Version != captured.Version {
		t.Errorf("create ended with %+v, %v", got, err)
	}

	waited := make(chan messages.Event, 1)
	go func() {
		e, err := producer.Wait(t.Context(), refund)
		if err != nil {
			t.Errorf("wait for the refund: %v", err)
		}
		waited <- e
	}()
	// One of a type that this version doesn't know is skipped.
	_, err = js.Publish(t.Context(), "payments.evt.acme.payment.blessed."+create.PaymentID.String(), []byte(
		`{"payment_id":"`+create.PaymentID.String()+`","tenant":"acme","version":6,"type":"payment.blessed","status":"captured",`+
			`"occurred_at":"2026-07-12T12:00:00Z","causation_id":"refund:1"}`))
	if err != nil {
		t.Fatal(err)
	}
	another := refund
	another.ID = "refund:0"
	emit(t, js, another, 7, &messages.RefundFailed{AmountMinor: 1})
	emit(t, js, refund, 8, &messages.RefundSucceeded{AmountMinor: 1998})
	if e := <-waited; e.Version != 8 {
		t.Errorf("refund ended with %+v", e)
	}
}

func TestWaitOverARestart(t *testing.T) {
	t.Parallel()
	server := servers.NATS(t)
	conn := server.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js := servers.JetStream(t, conn)
	provision(t, js)
	producer, err := client.New(conn, client.Config{Tenant: "acme", AckWait: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ack, err := producer.Publish(t.Context(), messages.Command{Body: aCreate()})
	if err != nil {
		t.Fatal(err)
	}
	server.Down()
	waited := make(chan error, 1)
	go func() {
		_, err := producer.Wait(t.Context(), ack.Command)
		waited <- err
	}()
	if err := server.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another connection, so that the event may well be there before the waiting one is back.
	other := servers.JetStream(t, server.Connect(t))
	emit(t, other, ack.Command, 1, &messages.PaymentCaptured{AmountMinor: 1999})
	if err := <-waited; err != nil {
		t.Errorf("wait over a restart: %v", err)
	}
}

// TestPublishAndWaitWithATenantsRights has the rights that the production configuration gives a
// producer.
func TestPublishAndWaitWithATenantsRights(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	config := `accounts { PAY { jetstream: enabled, users: [
		{ user: worker, password: w }
		{ user: shop, password: s, permissions: {
			publish: { allow: ["payments.cmd.acme.create.*"] }
			subscribe: { allow: ["payments.evt.acme.>", "_INBOX.acme.>"] }
		} }
	] } }`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	server := servers.NATS(t, func(o *servers.NATSOptions) { o.ConfigFile = file })
	worker := servers.JetStream(t, server.Connect(t, nats.UserInfo("worker", "w")))
	provision(t, worker)
	silent := nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}) // It is told what it may not do.
	producer := newClient(t, server.Connect(t, nats.UserInfo("shop", "s"), nats.CustomInboxPrefix("_INBOX.acme"), silent))

	create, err := producer.Prepare(messages.Command{Body: aCreate()})
	if err != nil {
		t.Fatal(err)
	}
	_, captured := relayed(t, create, 1, &messages.PaymentCaptured{AmountMinor: 1999})
	_, err = worker.Conn().Subscribe("payments.cmd.acme.create.*", func(*nats.Msg) {
		if err := worker.Conn().PublishMsg(captured); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	ack, event, err := producer.PublishAndWait(t.Context(), create)
	if err != nil || ack.Sequence != 1 || event.Type() != messages.EventPaymentCaptured {
		t.Errorf("ack %+v, event %+v, %v", ack, event, err)
	}
}

func TestConnectNamesTheServerWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"nats://shop:hunter2@127.0.0.1:1", "shop:hunter2@127.0.0.1:1", "nats://hunter2@127.0.0.1:1,nats://127.0.0.1:2"} {
		_, err := client.Connect(t.Context(), client.Config{URL: url, Tenant: "acme"})
		if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("connect: %v", err)
		}
	}
}

func toHeader(m map[string]string) nats.Header {
	header := make(nats.Header, len(m))
	for name, value := range m {
		header.Set(name, value)
	}
	return header
}

func newBus(t testing.TB) jetstream.JetStream {
	t.Helper()
	return servers.JetStream(t, servers.NATS(t).Connect(t))
}

func provision(t testing.TB, js jetstream.JetStream, options ...bus.StreamOptions) {
	t.Helper()
	if _, err := bus.Provision(t.Context(), js, append(options, bus.StreamOptions{})[0], bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
}

const cardText = "4242424242424242"

func wantCode(t *testing.T, err error, want messages.DecodeCode) {
	t.Helper()
	var refused *messages.DecodeError
	switch {
	case want == "" && err != nil:
		t.Errorf("unexpected error: %v", err)
	case want != "" && !errors.As(err, &refused):
		t.Errorf("error %v, want a *DecodeError with code %s", err, want)
	case want != "" && refused.Code != want:
		t.Errorf("code %s (%v), want %s", refused.Code, err, want)
	}
}
