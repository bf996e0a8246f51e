package audit_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/audit"
	"github.com/seed-384b1f8a/tender/processor/deadletter"
	"github.com/seed-384b1f8a/tender/processor/lab/servers"
	"github.com/seed-384b1f8a/tender/processor/lab/storetest"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// held is a store and a bus, without workers.
type held struct {
	*storetest.Bundle
	js       jetstream.JetStream
	consumer jetstream.Consumer
}

func setupHeld(t *testing.T) *held {
	t.Helper()
	h := &held{Bundle: storetest.Setup(t)}
	var err error
	if h.js, err = bus.JetStream(servers.NATS(t).Connect(t), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := bus.Provision(t.Context(), h.js, bus.StreamOptions{}, bus.ProvisionOptions{}); err != nil {
		t.Fatal(err)
	}
	if h.consumer, err = h.js.Consumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		t.Fatal(err)
	}
	return h
}

// publish puts a command onto the bus, and returns it as a worker decodes it.
func (h *held) publish(paymentID uuid.UUID, key string, body messages.CommandBody) messages.Command {
	h.Helper()
	subject, header, data, err := messages.EncodeCommand(messages.Command{
		ID: key, Tenant: storetest.Tenant, PaymentID: paymentID, IdempotencyKey: key, Body: body,
	}, messages.Origin{})
	if err != nil {
		h.Fatal(err)
	}
	msg := &nats.Msg{Subject: subject, Header: nats.Header{}, Data: data}
	for name, value := range header {
		msg.Header.Set(name, value)
	}
	if _, err := h.js.PublishMsg(h.Context(), msg); err != nil {
		h.Fatal(err)
	}
	cmd, err := messages.DecodeCommand(subject, msg.Header, data)
	if err != nil {
		h.Fatal(err)
	}
	return cmd
}

// deliver takes the next commands and acknowledges them.
func (h *held) deliver(n int) (delivered []jetstream.Msg) {
	h.Helper()
	batch, err := h.consumer.Fetch(n)
	if err != nil {
		h.Fatal(err)
	}
	for msg := range batch.Messages() {
		if err := msg.DoubleAck(h.Context()); err != nil {
			h.Fatal(err)
		}
		delivered = append(delivered, msg)
	}
	if len(delivered) != n {
		h.Fatalf("%d commands came, want %d: %v", len(delivered), n, batch.Error())
	}
	return delivered
}

func (h *held) compare(payments ...uuid.UUID) audit.Report {
	h.Helper()
	report, err := audit.Commands(h.Context(), h.Pool, h.js, 10, payments...)
	if err != nil {
		h.Fatal(err)
	}
	return report
}

func sampleCreate() *messages.Create {
	return &messages.Create{AmountMinor: 1000, Currency: "USD", PaymentMethod: "pm_card_visa"}
}

// A command that is in its stream and that no worker will be given is held against claims and dead
// letters.
func TestOursCommandsAreHeldAgainstClaimsAndLetters(t *testing.T) {
	t.Parallel()
	h := setupHeld(t)
	answered := h.publish(storetest.NewID(), "answered", sampleCreate())
	h.Handle(answered, storetest.Succeeded(), storetest.Start())
	again := h.publish(storetest.NewID(), "answered", sampleCreate()) // another payment under the same key
	h.Handle(again, storetest.Succeeded(), storetest.Start())
	buried := h.publish(storetest.NewID(), "buried", sampleCreate())
	h.publish(answered.PaymentID, "resume", &messages.Resume{}) // leaves no trace
	lost := h.publish(storetest.NewID(), "lost", sampleCreate())
	delivered := h.deliver(5)
	letter, err := deadletter.From(delivered[2], deadletter.Cause{Reason: "test", At: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := deadletter.Publish(t.Context(), h.js, letter); err != nil {
		t.Fatal(err)
	}
	h.publish(storetest.NewID(), "waits", sampleCreate())

	report := h.compare()
	if len(report.Findings) != 1 || report.Findings[0].PaymentID != lost.PaymentID || report.Checked[audit.CommandsAnswered] != 4 {
		t.Fatalf("%d commands checked, found %+v; want the lost one of 4", report.Checked[audit.CommandsAnswered], report.Findings)
	}
	if detail := report.Findings[0].Detail; !strings.Contains(detail, `command 5, a create with key "lost", has neither a claim nor a dead letter`) {
		t.Errorf("the finding says %q", detail)
	}
	for _, paymentID := range []uuid.UUID{answered.PaymentID, again.PaymentID, buried.PaymentID} {
		if report := h.compare(paymentID); !report.Clean() {
			t.Errorf("payment %s: %+v", paymentID, report.Findings)
		}
	}
	if report := h.compare(lost.PaymentID); report.Clean() {
		t.Error("the lost command is not found by its payment")
	}
}

// A consumer that is gone, or was made anew behind commands, shows.
func TestOursACommandThatWasSkippedIsFound(t *testing.T) {
	t.Parallel()
	h := setupHeld(t)
	skipped := h.publish(storetest.NewID(), "skipped", sampleCreate())
	if err := h.js.DeleteConsumer(t.Context(), messages.StreamCommands, bus.ConsumerWorkers); err != nil {
		t.Fatal(err)
	}
	if report := h.compare(); report.Violated[audit.CommandsAnswered] != 1 {
		t.Errorf("without a consumer: %+v", report)
	}
	config := bus.WorkerConsumer(bus.StreamOptions{})
	config.DeliverPolicy = jetstream.DeliverNewPolicy
	if _, err := h.js.CreateConsumer(t.Context(), messages.StreamCommands, config); err != nil {
		t.Fatal(err)
	}
	if report := h.compare(); len(report.Findings) != 1 || report.Findings[0].PaymentID != skipped.PaymentID {
		t.Errorf("found %+v, want the skipped command", report.Findings)
	}
}

// An operation that was sent by a command which became a dead letter: nothing will bring it on but
// the sweep.
func TestOursASentOperationWithNothingToComeIsFound(t *testing.T) {
	t.Parallel()
	h := setupHeld(t)
	cmd := h.publish(storetest.NewID(), "sent", sampleCreate())
	h.Commit(storetest.First(cmd))
	if report := h.compare(); !report.Clean() {
		t.Errorf("its command waits: %+v", report.Findings)
	}
	delivered := h.deliver(1)
	for _, report := range []audit.Report{h.compare(), h.compare(cmd.PaymentID)} {
		if report.Violated[books.NothingStuck] != 1 || !strings.Contains(report.Findings[0].Detail, "neither a timer nor a command is to come") {
			t.Errorf("found %+v after the delivery of %s", report.Findings, delivered[0].Subject())
		}
	}
	if _, err := h.Store.SweepStale(t.Context(), storetest.Start().Add(time.Hour), time.Minute, 10); err != nil {
		t.Fatal(err)
	}
	if report := h.compare(); !report.Clean() {
		t.Errorf("the sweep has set a timer: %+v", report.Findings)
	}
}
