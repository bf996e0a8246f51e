package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PaymentCheck is what is stored about one payment and what is wrong with it.
type PaymentCheck struct {
	PaymentID uuid.UUID `json:"payment_id"`
	// Exists says that there is a row in payments; the rest may be there without it.
	Exists bool `json:"exists"`
	// Events are the history, in order.
	Events []EventCheck `json:"events"`
	// Timers, Claims and OutboxRows are how many there are.
	Timers     int64 `json:"timers"`
	Claims     int64 `json:"claims"`
	OutboxRows int64 `json:"outbox_rows"`
	// Findings are all violations, those at events included.
	Findings []Finding `json:"findings"`
}

// EventCheck is one event of a history.
type EventCheck struct {
	Version    int64     `json:"version"`
	Type       string    `json:"type"`
	OccurredAt time.Time `json:"occurred_at"`
	// Problems are what is wrong with the event, or with its place.
	Problems []string `json:"problems,omitempty"`
	// Unchecked says that an event before this one could not be folded, so that nothing can be said about it.
	Unchecked bool `json:"unchecked,omitempty"`
}

// Clean reports whether every invariant holds for the payment.
func (p *PaymentCheck) Clean() bool { return len(p.Findings) == 0 }

// Nothing reports whether nothing at all is stored about the payment.
func (p *PaymentCheck) Nothing() bool {
	return !p.Exists && len(p.Events) == 0 && p.Timers+p.Claims+p.OutboxRows == 0
}

// CheckPayment checks one payment as CheckInvariants does all of them, and says what it found event by event. It works
// whatever of the payment is there. Of the options it takes Now and StaleAfter. Its keys are found by reading all keys of
// the database once, since they are ordered otherwise.
func CheckPayment(ctx context.Context, pool *pgxpool.Pool, paymentID uuid.UUID, o CheckOptions) (PaymentCheck, error) {
	result := PaymentCheck{PaymentID: paymentID, Events: []EventCheck{}, Findings: []Finding{}}
	o = o.withDefaults(pool)
	err := pgx.BeginTxFunc(ctx, pool, snapshotOptions(), func(tx pgx.Tx) error {
		if o.Now.IsZero() {
			if err := tx.QueryRow(ctx, nowSQL).Scan(&o.Now); err != nil {
				return err
			}
		}
		c := &checker{pool: pool, options: o}
		broken := false
		c.trace = func(row *eventRow, found []Finding) {
			e := EventCheck{Version: row.version, Type: row.eventType, OccurredAt: row.occurredAt.UTC(), Unchecked: broken}
			for _, f := range found {
				e.Problems = append(e.Problems, f.Detail)
			}
			broken = broken || len(found) > 0
			result.Events = append(result.Events, e)
		}
		t := newTally()
		err := c.checkOne(ctx, tx, paymentID, t)
		result.Exists = t.payments > 0
		result.Timers, result.Claims, result.OutboxRows = t.timers, t.claims, t.outboxRows
		result.Findings = append(result.Findings, t.findings...)
		return err
	})
	if err != nil {
		return result, fmt.Errorf("check payment %s: %w", paymentID, err)
	}
	return result, nil
}

// checkOne runs every pass for one payment.
func (c *checker) checkOne(ctx context.Context, tx pgx.Tx, paymentID uuid.UUID, t *tally) error {
	if err := c.checkChunk(ctx, tx, chunk{paymentID, paymentID}, t); err != nil {
		return err
	}
	if err := checkClaims(ctx, tx, claimPosition{ConflictHash: []byte{}}, id(paymentID), t); err != nil {
		return err
	}
	if err := checkOperations(ctx, tx, id(paymentID), t); err != nil {
		return fmt.Errorf("read operations: %w", err)
	}
	if err := c.checkMessages(ctx, tx, paymentID.String(), t); err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	return nil
}
