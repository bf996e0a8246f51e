package chaos

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/seed-384b1f8a/tender/messages"
)

// comparePlans gathers the evidence about the plans and consults the oracle.
func (x *examination) comparePlans(ctx context.Context) error {
	e := evidence{
		run: x.Record.Run, sent: x.Record.Sent, seen: x.Record.Seen, payments: x.payments, answers: x.answers, letters: x.letters,
		ledgers: x.ledgers, faults: x.Faults, ladder: x.config.Ladder, notified: x.notified,
		refusals: map[place]messages.RejectionCode{}, gone: x.gone,
	}
	if err := x.readReasons(ctx, &e); err != nil {
		return err
	}
	consult(x.judge, e)
	return nil
}

// reasonsSQL reads the events that say why something was refused or went to a person.
const reasonsSQL = `
	SELECT payment_id, version, occurred_at, type, data::text FROM payment_events
	WHERE type IN ('command.rejected', 'payment.outcome_unknown', 'payment.review_opened')
	ORDER BY payment_id, version`

// readReasons reads the refusals and the reviews.
func (x *examination) readReasons(ctx context.Context, e *evidence) error {
	rows, err := x.Pool.Query(ctx, reasonsSQL)
	if err != nil {
		return fmt.Errorf("read the reasons of refusals and reviews: %w", err)
	}
	unknown := map[string]time.Time{}
	var paymentID uuid.UUID
	var version int64
	var at time.Time
	var kind, data string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &version, &at, &kind, &data}, func() error {
		event, err := messages.DecodeEventBody([]byte(data))
		if err != nil {
			return fmt.Errorf("event %d of payment %s: %w", version, paymentID, err)
		}
		switch d := event.Data.(type) {
		case *messages.CommandRejected:
			e.refusals[place{paymentID, version}] = d.Code
		case *messages.PaymentOutcomeUnknown:
			unknown[d.OperationID] = at
		case *messages.PaymentReviewOpened:
			e.reviews = append(e.reviews, review{paymentID, d.OperationID, d.Reason, unknown[d.OperationID], at})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the reasons of refusals and reviews: %w", err)
	}
	return nil
}
