package books

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// claimPosition is a place in the order of the claims, which is that of their key. The zero value
// is before the first.
type claimPosition struct {
	Tenant       string `json:"tenant"`
	Command      string `json:"command"`
	Key          string `json:"key"`
	ConflictHash []byte `json:"conflict_hash"`
}

func parseClaimPosition(text string) (claimPosition, error) {
	p := claimPosition{ConflictHash: []byte{}}
	if text == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fmt.Errorf("position %q: %w", text, err)
	}
	return p, nil
}

// cutClaims cuts the claims into pieces of as many as the statements take: they lie in the order of
// their keys, not of their payments.
func cutClaims(ctx context.Context, tx pgx.Tx, after string, yield func(piece) error) error {
	for {
		at, err := parseClaimPosition(after)
		if err != nil {
			return err
		}
		next := piece{after: after}
		err = tx.QueryRow(ctx, checkClaimsBoundSQL, at.Tenant, at.Command, at.Key, at.ConflictHash).
			Scan(&at.Tenant, &at.Command, &at.Key, &at.ConflictHash)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			next.last = true
		case err != nil:
			return err
		default:
			text, err := json.Marshal(at)
			if err != nil {
				return err
			}
			next.to = string(text)
		}
		if err := yield(next); err != nil || next.last {
			return err
		}
		after = next.to
	}
}

func (c *checker) checkClaims(ctx context.Context, tx pgx.Tx, p piece, t *tally) error {
	after, err := parseClaimPosition(p.after)
	if err != nil {
		return err
	}
	return checkClaims(ctx, tx, after, pgtype.UUID{}, t)
}

// checkClaims checks the piece of all claims that follows a position or, unless it is null, the
// claims of one payment.
func checkClaims(ctx context.Context, tx pgx.Tx, after claimPosition, of pgtype.UUID, t *tally) error {
	// Planned anew for its arguments: one payment's claims are found in another way than the next
	// in order.
	arguments := []any{pgx.QueryExecModeCacheDescribe, after.Tenant, after.Command, after.Key, after.ConflictHash, of}
	if err := tx.QueryRow(ctx, checkClaimsCountSQL, arguments...).Scan(&t.claims); err != nil {
		return fmt.Errorf("count claims: %w", err)
	}
	t.done = t.claims
	t.checked[ClaimsMatchPayments] += t.claims
	rows, err := tx.Query(ctx, checkClaimsSQL, arguments...)
	if err != nil {
		return fmt.Errorf("read claims: %w", err)
	}
	var paymentID uuid.UUID
	var command, key, problem string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID), &command, &key, &problem}, func() error {
		t.report(ClaimsMatchPayments, paymentID, fmt.Sprintf("%s with key %q: %s", command, key, problem))
		return nil
	})
	return err
}

func (c *checker) checkOperations(ctx context.Context, tx pgx.Tx, _ piece, t *tally) error {
	return checkOperations(ctx, tx, pgtype.UUID{}, t)
}

// checkOperations looks for operations that were started twice, among the claims of all payments or
// of one.
func checkOperations(ctx context.Context, tx pgx.Tx, of pgtype.UUID, t *tally) error {
	rows, err := tx.Query(ctx, checkOperationsSQL, of)
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

func (c *checker) checkOutbox(ctx context.Context, tx pgx.Tx, _ piece, t *tally) error {
	return c.checkMessages(ctx, tx, "", t)
}

// checkMessages checks the rows of the outbox, all of them or those under one ordering key.
func (c *checker) checkMessages(ctx context.Context, tx pgx.Tx, of string, t *tally) error {
	if err := tx.QueryRow(ctx, checkOutboxCountSQL, of).Scan(&t.outboxRows); err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	t.done = t.outboxRows
	for _, invariant := range []Invariant{OutboxMatchesHistory, OutboxParked, OutboxDelayed} {
		t.checked[invariant] += t.outboxRows
	}
	rows, err := tx.Query(ctx, checkOutboxSQL, instant(c.staleBefore()), of)
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
