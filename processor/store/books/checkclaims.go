package books

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/seed-384b1f8a/tender/processor/store"
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
func cutClaims(ctx context.Context, db store.DB, after string, yield func(piece) error) error {
	for {
		at, err := parseClaimPosition(after)
		if err != nil {
			return err
		}
		next := piece{after: after}
		err = db.QueryRow(ctx, checkClaimsBoundSQL, at.Tenant, at.Command, at.Key, at.ConflictHash).
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
	return checkClaims(ctx, tx, p, pgtype.UUID{}, t)
}

// checkClaims checks a piece of the claims: all of them or, unless it is null, those of one
// payment. It may be called again with the same tally.
func checkClaims(ctx context.Context, tx pgx.Tx, p piece, of pgtype.UUID, t *tally) error {
	after, err := parseClaimPosition(p.after)
	if err != nil {
		return err
	}
	// Planned anew for its arguments.
	arguments := []any{pgx.QueryExecModeCacheDescribe, after.Tenant, after.Command, after.Key, after.ConflictHash, of}
	var claims int64
	if err := tx.QueryRow(ctx, checkClaimsCountSQL, arguments...).Scan(&claims); err != nil {
		return fmt.Errorf("count claims: %w", err)
	}
	t.claims += claims
	t.done += claims
	t.checked[ClaimsMatchPayments] += claims
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

// operationsMax is about how many operations are held in memory at a time.
const operationsMax = 500_000

// cutOperations cuts the operations into shares by their payments. Claims lie in the order of
// their keys, so that each share takes a reading of all of them: it is the price of a bounded
// memory.
func cutOperations(claims int64) func(context.Context, store.DB, string, func(piece) error) error {
	return func(_ context.Context, _ store.DB, after string, yield func(piece) error) error {
		done, of := int64(0), claims/operationsMax+1
		if after != "" {
			var err error
			if done, of, err = parseShare(after); err != nil {
				return err
			}
		}
		for ; done < of; done++ {
			if err := yield(piece{after: after, to: fmt.Sprintf("%d/%d", done+1, of), last: done+1 == of}); err != nil {
				return err
			}
			after = fmt.Sprintf("%d/%d", done+1, of)
		}
		return nil
	}
}

// parseShare reads "2/5": the second of five shares.
func parseShare(text string) (number, of int64, err error) {
	if _, err := fmt.Sscanf(text, "%d/%d", &number, &of); err != nil || number < 1 || number > of {
		return 0, 0, fmt.Errorf("position %q: it is not a share", text)
	}
	return number, of, nil
}

func (c *checker) checkOperations(ctx context.Context, _ pgx.Tx, p piece, t *tally) error {
	number, of, err := parseShare(p.to)
	if err != nil {
		return err
	}
	return checkOperations(ctx, c.pool, func(u uuid.UUID) bool {
		h := fnv.New32a()
		_, _ = h.Write(u[:]) // A hash never returns an error.
		return int64(h.Sum32())%of == number-1
	}, t)
}

// checkOperations looks for operations that more than one command claims to have started, among
// the claims of the payments that are wanted. It reads page by page; each is of another moment,
// which is enough: claims are never deleted.
func checkOperations(ctx context.Context, db store.DB, wanted func(uuid.UUID) bool, t *tally) error {
	type started struct {
		paymentID uuid.UUID
		commands  int64
	}
	all := map[string]started{}
	at := claimPosition{ConflictHash: []byte{}}
	for more := true; more; {
		rows, err := db.Query(ctx, checkOperationsSQL, pgx.QueryExecModeCacheDescribe, at.Tenant, at.Command, at.Key, at.ConflictHash)
		if err != nil {
			return err
		}
		var paymentID uuid.UUID
		var operationID string
		more = false
		targets := []any{&at.Tenant, &at.Command, &at.Key, &at.ConflictHash, (*[16]byte)(&paymentID), &operationID}
		_, err = pgx.ForEachRow(rows, targets, func() error {
			more = true
			if operationID != "" && wanted(paymentID) {
				all[operationID] = started{paymentID, all[operationID].commands + 1}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	t.done += int64(len(all))
	for operationID, op := range all {
		if op.commands > 1 {
			t.report(OperationsUnique, op.paymentID, fmt.Sprintf("%d commands claim to have started operation %s", op.commands, operationID))
		}
	}
	return nil
}

// outboxPlace is a place in the outbox; its text is "partition/id".
type outboxPlace struct {
	partition int16
	id        int64
}

func parseOutboxPlace(text string, otherwise outboxPlace) (outboxPlace, error) {
	if text == "" {
		return otherwise, nil
	}
	var at outboxPlace
	if _, err := fmt.Sscanf(text, "%d/%d", &at.partition, &at.id); err != nil {
		return at, fmt.Errorf("position %q: %w", text, err)
	}
	return at, nil
}

// cutOutbox cuts the outbox into pieces of two thousand rows.
func cutOutbox(ctx context.Context, db store.DB, after string, yield func(piece) error) error {
	for {
		at, err := parseOutboxPlace(after, outboxPlace{partition: -1})
		if err != nil {
			return err
		}
		next := piece{after: after}
		err = db.QueryRow(ctx, checkOutboxBoundSQL, at.partition, at.id).Scan(&at.partition, &at.id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			next.last = true
		case err != nil:
			return err
		default:
			next.to = fmt.Sprintf("%d/%d", at.partition, at.id)
		}
		if err := yield(next); err != nil || next.last {
			return err
		}
		after = next.to
	}
}

func (c *checker) checkOutbox(ctx context.Context, tx pgx.Tx, p piece, t *tally) error {
	return c.checkMessages(ctx, tx, "", p, t)
}

// checkMessages checks a piece of the rows of the outbox, all of them or those under one ordering
// key.
func (c *checker) checkMessages(ctx context.Context, tx pgx.Tx, of string, p piece, t *tally) error {
	after, err := parseOutboxPlace(p.after, outboxPlace{partition: -1})
	if err != nil {
		return err
	}
	to, err := parseOutboxPlace(p.to, outboxPlace{math.MaxInt16, math.MaxInt64})
	if err != nil {
		return err
	}
	err = tx.QueryRow(ctx, checkOutboxCountSQL, of, after.partition, after.id, to.partition, to.id).Scan(&t.outboxRows)
	if err != nil {
		return fmt.Errorf("count rows: %w", err)
	}
	t.done = t.outboxRows
	for _, invariant := range []Invariant{OutboxMatchesHistory, OutboxParked, OutboxDelayed} {
		t.checked[invariant] += t.outboxRows
	}
	rows, err := tx.Query(ctx, checkOutboxSQL, instant(c.staleBefore()), of, after.partition, after.id, to.partition, to.id)
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
