package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// checkRest checks what has no place in the order of payments: claims and the outbox.
func (c *checker) checkRest(ctx context.Context, tx pgx.Tx) error {
	t := newTally()
	if err := tx.QueryRow(ctx, checkCountsSQL).Scan(&t.claims, &t.outboxRows); err != nil {
		return fmt.Errorf("count claims: %w", err)
	}
	t.checked[ClaimsMatchPayments] += t.claims
	for _, invariant := range []Invariant{OutboxMatchesHistory, OutboxParked, OutboxDelayed} {
		t.checked[invariant] += t.outboxRows
	}
	if err := checkClaims(ctx, tx, t); err != nil {
		return fmt.Errorf("read claims: %w", err)
	}
	if err := checkOperations(ctx, tx, t); err != nil {
		return fmt.Errorf("read operations of claims: %w", err)
	}
	if err := c.checkOutbox(ctx, tx, t); err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	c.done(t)
	return nil
}

func checkClaims(ctx context.Context, tx pgx.Tx, t *tally) error {
	rows, err := tx.Query(ctx, checkClaimsSQL)
	if err != nil {
		return err
	}
	var paymentID uuid.UUID
	var command, key, problem string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &command, &key, &problem}, func() error {
		t.report(ClaimsMatchPayments, paymentID, fmt.Sprintf("%s with key %q: %s", command, key, problem))
		return nil
	})
	return err
}

func checkOperations(ctx context.Context, tx pgx.Tx, t *tally) error {
	rows, err := tx.Query(ctx, checkOperationsSQL)
	if err != nil {
		return err
	}
	var paymentID uuid.UUID
	var operationID string
	var commands int64
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &operationID, &commands}, func() error {
		t.report(OperationsUnique, paymentID, fmt.Sprintf("%d commands claim to have started operation %s", commands, operationID))
		return nil
	})
	return err
}

func (c *checker) checkOutbox(ctx context.Context, tx pgx.Tx, t *tally) error {
	rows, err := tx.Query(ctx, checkOutboxSQL, instant(c.staleBefore()))
	if err != nil {
		return err
	}
	var orderingKey, messageID, invariant, detail string
	_, err = pgx.ForEachRow(rows, []any{&orderingKey, &messageID, &invariant, &detail}, func() error {
		paymentID, err := uuid.Parse(orderingKey)
		if err != nil {
			paymentID = uuid.Nil // not a payment's message; the detail names it
		}
		t.report(Invariant(invariant), paymentID, "message "+messageID+": "+detail)
		return nil
	})
	return err
}
