package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// batchWrite is one transaction that writes many changes.
type batchWrite struct {
	// entries are those without an answer. run removes what it answers.
	entries []*entry
	// wroteOutbox is whether messages for the outbox were committed.
	wroteOutbox bool
}

// run writes the entries in one transaction of two round trips. Entries that lost their version or their claim are
// answered whatever becomes of the rest. If a claim was lost the transaction is rolled back, the loser answered, and
// the rest left in entries for another run.
func (w *batchWrite) run(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	// A connection that is still in a transaction is closed by the pool and not used again.
	defer conn.Release()
	pgarray.Register(conn.Conn().TypeMap())
	slices.SortFunc(w.entries, func(a, b *entry) int { return slices.Compare(a.row.id[:], b.row.id[:]) })
	won, err := w.writePayments(ctx, conn.Conn())
	if err != nil {
		return fmt.Errorf("write payments: %w", rollback(ctx, conn.Conn(), err))
	}
	w.answerConflicts(won)
	if len(w.entries) == 0 || w.answerLostClaims(won) {
		return rollback(ctx, conn.Conn(), nil)
	}
	if err := w.writeRest(ctx, conn.Conn()); err != nil {
		if !refusedByServer(err) && !inTransaction(conn.Conn()) {
			return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
		}
		return fmt.Errorf("write events: %w", rollback(ctx, conn.Conn(), err))
	}
	w.wroteOutbox = slices.ContainsFunc(w.entries, func(e *entry) bool { return len(e.messages) > 0 })
	settleAll(w.entries, nil)
	w.entries = nil
	return nil
}

// winners are the payments that were written, and those whose claim was, too.
type winners struct{ written, claimed map[uuid.UUID]struct{} }

func (w *batchWrite) writePayments(ctx context.Context, conn *pgx.Conn) (winners, error) {
	won := winners{
		written: make(map[uuid.UUID]struct{}, len(w.entries)),
		claimed: make(map[uuid.UUID]struct{}, len(w.entries)),
	}
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(settingsSQL)
	arguments := append(paymentColumns(w.entries), claimColumns(w.claims())...)
	batch.Queue(writePaymentsSQL, arguments...).Query(func(rows pgx.Rows) error {
		var payment pgtype.UUID
		var isClaim bool
		_, err := pgx.ForEachRow(rows, []any{&payment, &isClaim}, func() error {
			if isClaim {
				won.claimed[payment.Bytes] = struct{}{}
			} else {
				won.written[payment.Bytes] = struct{}{}
			}
			return nil
		})
		return err
	})
	return won, conn.SendBatch(ctx, &batch).Close()
}

// claims are in the order of their names, so that no two batches wait for each other.
func (w *batchWrite) claims() []*claimRow {
	claims := make([]*claimRow, 0, len(w.entries))
	for _, e := range w.entries {
		if e.claim != nil {
			claims = append(claims, e.claim)
		}
	}
	slices.SortFunc(claims, func(a, b *claimRow) int { return strings.Compare(a.name(), b.name()) })
	return claims
}

// answerConflicts answers the entries that found another version than they expected. That stays so: versions only grow.
func (w *batchWrite) answerConflicts(won winners) {
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		_, written := won.written[e.row.id]
		if !written {
			e.settle(ErrVersionConflict)
		}
		return !written
	})
}

// answerLostClaims answers the entries whose key somebody else has claimed, and reports whether there were any.
func (w *batchWrite) answerLostClaims(won winners) bool {
	before := len(w.entries)
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		_, claimed := won.claimed[e.row.id]
		lost := e.claim != nil && !claimed
		if lost {
			e.settle(&ClaimTakenError{
				Tenant: e.claim.tenant, Command: messages.CommandName(e.claim.command), Key: e.claim.key, PaymentID: e.row.id,
			})
		}
		return lost
	})
	return len(w.entries) < before
}

// writeRest writes what belongs to the payments that were written, and commits.
func (w *batchWrite) writeRest(ctx context.Context, conn *pgx.Conn) error {
	var batch pgx.Batch
	var events []*eventRow
	var outgoing []outbox.Message
	var set, deleted []*entry
	for _, e := range w.entries {
		for i := range e.events {
			events = append(events, &e.events[i])
		}
		outgoing = append(outgoing, e.messages...)
		switch e.timer {
		case timerStays:
		case timerSet:
			set = append(set, e)
		case timerDeleted:
			deleted = append(deleted, e)
		}
	}
	batch.Queue(writeEventsSQL, eventColumns(events)...)
	if len(set) > 0 {
		batch.Queue(writeTimersSQL, timerColumns(set)...)
	}
	if len(deleted) > 0 {
		batch.Queue(deleteTimersSQL, pgarray.UUIDs(deleted, func(e *entry) uuid.UUID { return e.row.id }))
	}
	if err := outbox.Queue(&batch, outgoing); err != nil {
		return err
	}
	batch.Queue(commitSQL).Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("commit was answered with %s", tag)
		}
		return nil
	})
	return conn.SendBatch(ctx, &batch).Close()
}

// inTransaction reports whether the connection lives and its transaction is still open, so that it was not committed.
func inTransaction(conn *pgx.Conn) bool {
	return !conn.IsClosed() && conn.PgConn().TxStatus() != 'I'
}

// rollback ends the transaction that cause has failed, if there is still a connection to do it on, and returns cause.
func rollback(ctx context.Context, conn *pgx.Conn, cause error) error {
	if !inTransaction(conn) {
		return cause
	}
	if readOnly(cause) {
		// The server has become a standby. Another connection may find its successor.
		return errors.Join(cause, conn.Close(ctx))
	}
	if _, err := conn.Exec(ctx, rollbackSQL); err != nil {
		return errors.Join(cause, fmt.Errorf("roll back: %w", err))
	}
	return cause
}
