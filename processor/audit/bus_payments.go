package audit

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/messages/bus"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

// compareSome compares the events of some payments. Their database rows are read first: what was
// committed and no longer in the outbox then is on the bus afterwards.
func (a *busAudit) compareSome(ctx context.Context, js jetstream.JetStream) error {
	info, err := a.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	a.report.Since = agedBefore(info)
	waiting := map[eventKey]struct{}{}
	events := map[uuid.UUID][]books.EventOf{}
	err = books.AtOneMoment(ctx, a.db, func(now *books.Moment) (err error) {
		for _, paymentID := range a.options.Payments {
			if events[paymentID], err = now.EventsOf(ctx, paymentID); err != nil {
				return err
			}
		}
		return now.Waiting(ctx, func(paymentID uuid.UUID, version int64) {
			waiting[eventKey{paymentID, version}] = struct{}{}
		})
	})
	if err != nil {
		return err
	}
	for paymentID, its := range events {
		if len(its) == 0 {
			continue // Without a tenant there is no subject to look at.
		}
		if err := a.readPayment(ctx, js, its[0].Tenant, paymentID); err != nil {
			return err
		}
	}
	if err := a.judgeLate(ctx, js); err != nil {
		return err
	}
	if info, err = a.stream.Info(ctx); err != nil {
		return fmt.Errorf("look at stream %s: %w", messages.StreamEvents, err)
	}
	a.report.Since = agedBefore(info) // What has aged during the reading, too.
	for paymentID, its := range events {
		for _, e := range its {
			if !e.Type.Published() || e.OccurredAt.Before(a.report.Since) {
				continue
			}
			key := eventKey{paymentID, e.Version}
			a.report.Committed++
			if _, waits := waiting[key]; waits {
				a.report.Waiting++
			} else if !a.seen.has(paymentID, e.Version) {
				a.tally.found(Published, paymentID, "event %d is neither on the bus nor in the outbox", e.Version)
			}
		}
	}
	a.tally.checked(Published, a.report.Committed)
	return nil
}

// readPayment takes the messages about one payment.
func (a *busAudit) readPayment(ctx context.Context, js jetstream.JetStream, tenant string, paymentID uuid.UUID) error {
	filter, err := messages.PaymentEventFilter(tenant, paymentID)
	if err != nil {
		return err
	}
	from := bus.ScanFrom{Stream: messages.StreamEvents, Subject: filter}
	err = bus.Scan(ctx, js, from, func(msg *jetstream.RawStreamMsg) bool {
		a.take(newMessage(msg.Sequence, msg.Subject, msg.Header, msg.Data))
		return true
	})
	if err != nil {
		return err
	}
	return a.handOver(ctx)
}
