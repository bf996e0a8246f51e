package bench

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/seed-384b1f8a/tender/messages"
)

// Tenant owns all payments of a benchmark.
const Tenant = "bench"

// backlogBatch is the number of commands in one atomic batch, which costs one flush to the disk
// with sync_always.
const backlogBatch = 1000

// NewCreate returns a create like that of a shop: all indexed columns have a value.
func NewCreate(method messages.CaptureMethod) (messages.Command, error) {
	paymentID, err := uuid.NewV7()
	if err != nil {
		return messages.Command{}, fmt.Errorf("make a payment id: %w", err)
	}
	order := "order-" + paymentID.String()
	return messages.Command{
		ID: order, IdempotencyKey: order, Tenant: Tenant, PaymentID: paymentID,
		Body: &messages.Create{
			AmountMinor: 1999, Currency: "USD", PaymentMethod: "pm_card_visa", CaptureMethod: method,
			CustomerID: "customer-" + strconv.Itoa(int(paymentID[15])), MerchantReference: order,
		},
	}, nil
}

// encode returns the message of a producer for a command.
func encode(c messages.Command, at time.Time) (*nats.Msg, error) {
	subject, header, body, err := messages.EncodeCommand(c, messages.Origin{Source: "tender-bench", Time: at})
	if err != nil {
		return nil, fmt.Errorf("encode command %s: %w", c.ID, err)
	}
	msg := &nats.Msg{Subject: subject, Header: make(nats.Header, len(header)+4), Data: body}
	for name, value := range header {
		msg.Header[name] = []string{value}
	}
	return msg, nil
}

// Backlog publishes n creates in atomic batches.
func Backlog(ctx context.Context, js jetstream.JetStream, n int, method messages.CaptureMethod, now func() time.Time) error {
	for n > 0 {
		batch := make([]*nats.Msg, min(n, backlogBatch))
		for i := range batch {
			create, err := NewCreate(method)
			if err != nil {
				return err
			}
			if batch[i], err = encode(create, now()); err != nil {
				return err
			}
		}
		if _, err := jetstreamext.PublishMsgBatch(ctx, js, batch, jetstreamext.BatchFlowControl{}); err != nil {
			return fmt.Errorf("publish %d commands: %w", len(batch), err)
		}
		n -= len(batch)
	}
	return nil
}

// Events returns the number of messages in the stream of events.
func Events(ctx context.Context, js jetstream.JetStream) (uint64, error) {
	stream, err := js.Stream(ctx, messages.StreamEvents)
	if err != nil {
		return 0, fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	return stream.CachedInfo().State.Msgs, nil
}

// eventsPoll is the interval between looks at the stream, and so the precision of the end of a
// run.
const eventsPoll = 25 * time.Millisecond

// AwaitEvents returns the times at which the wanted number of new events, and nine tenths of it,
// had come to the stream. It fails if no event comes for the given time. When ctx ends it returns
// the times known so far.
func AwaitEvents(
	ctx context.Context, js jetstream.JetStream, there, want uint64, patience time.Duration, now func() time.Time,
) (nineTenths time.Time, err error) {
	poll := time.NewTicker(eventsPoll)
	defer poll.Stop()
	var last uint64
	moved := now()
	for {
		all, err := Events(ctx, js)
		if err != nil {
			return nineTenths, err
		}
		have, at := all-there, now()
		if nineTenths.IsZero() && have*10 >= want*9 {
			nineTenths = at
		}
		if have >= want {
			return nineTenths, nil
		}
		if have != last {
			last, moved = have, at
		}
		if at.Sub(moved) > patience {
			return nineTenths, fmt.Errorf("no more events for %s: %d have come, not %d", patience, have, want)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return nineTenths, context.Cause(ctx)
		}
	}
}
