package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
)

// Conversation is a shop that answers events: it captures authorized payments and refunds captured
// ones.
type Conversation struct {
	// Commands counts the commands that it published.
	Commands int
	// Declined, Unknown and Rejected count events; Ended counts finished payments.
	Declined, Unknown, Rejected, Ended int
}

// Converse answers the events after a sequence number, until the given number of payments is
// finished. It fails if no event comes for the given time.
func Converse(ctx context.Context, js jetstream.JetStream, payments int, patience time.Duration, after uint64) (Conversation, error) {
	var c Conversation
	consumer, err := js.OrderedConsumer(ctx, messages.StreamEvents, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1, HeadersOnly: true,
	})
	if err != nil {
		return c, fmt.Errorf("follow stream %s: %w", messages.StreamEvents, err)
	}
	arriving, err := consumer.Messages()
	if err != nil {
		return c, fmt.Errorf("follow stream %s: %w", messages.StreamEvents, err)
	}
	defer arriving.Stop()
	ended := make(map[uuid.UUID]struct{}, payments)
	for len(ended) < payments {
		msg, err := arriving.Next(jetstream.NextMaxWait(patience))
		if err != nil {
			return c, fmt.Errorf("wait for events after %d of %d payments ended: %w", len(ended), payments, err)
		}
		_, event, paymentID, err := messages.ParseEventSubject(msg.Subject())
		if err != nil {
			return c, err
		}
		if err := c.answers(js, event, paymentID); err != nil {
			return c, fmt.Errorf("answer %s of payment %s: %w", event, paymentID, err)
		}
		if ends(event) {
			ended[paymentID] = struct{}{}
			c.Ended = len(ended)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
		return c, nil
	case <-ctx.Done():
		return c, context.Cause(ctx)
	}
}

func ends(event messages.EventType) bool {
	return event == messages.EventRefundSucceeded || event == messages.EventPaymentDeclined || event == messages.EventCommandRejected
}

// answers publishes the command that follows an event, if one does.
func (c *Conversation) answers(js jetstream.JetStream, event messages.EventType, paymentID uuid.UUID) error {
	var body messages.CommandBody
	switch event {
	case messages.EventPaymentAuthorized:
		body = &messages.Capture{}
	case messages.EventPaymentCaptured:
		body = &messages.Refund{}
	case messages.EventPaymentDeclined:
		c.Declined++
		return nil
	case messages.EventPaymentOutcomeUnknown:
		c.Unknown++
		return nil
	case messages.EventCommandRejected:
		c.Rejected++
		return nil
	default:
		return nil
	}
	key := string(body.CommandName()) + "-" + paymentID.String()
	msg, err := encode(messages.Command{ID: key, IdempotencyKey: key, Tenant: Tenant, PaymentID: paymentID, Body: body}, time.Time{})
	if err != nil {
		return err
	}
	if _, err := js.PublishMsgAsync(msg); err != nil {
		return fmt.Errorf("publish %s: %w", msg.Subject, err)
	}
	c.Commands++
	return nil
}
