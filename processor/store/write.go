package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

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
	// contests is how many batches are yet to be written with a look at who lost, of the whole
	// store.
	contests *atomic.Int64
	// committed is called with what was written to the outbox.
	committed func(*outbox.Appended)
}

// run writes the entries in one transaction. That is one round trip if no version and no claim is
// lost, as is nearly always so. Otherwise it takes two more: entries that lost their version or
// their claim are answered apart from the rest. If a claim was lost the transaction is rolled back,
// the loser answered, and the rest left in entries for another run.
func (w *batchWrite) run(ctx context.Context, pool *pgxpool.Pool) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	// A connection that is still in a transaction is closed by the pool and not used again.
	defer conn.Release()
	pgarray.Register(conn.Conn().TypeMap())
	slices.SortFunc(w.entries, func(a, b *entry) int { return slices.Compare(a.row.ID[:], b.row.ID[:]) })
	if w.contests.Load() > 0 && w.contests.Add(-1) >= 0 {
		return w.runContested(ctx, conn.Conn())
	}
	err = w.runUncontested(ctx, conn.Conn())
	if errors.Is(err, errContested) {
		return w.runContested(ctx, conn.Conn())
	}
	return err
}

// errContested means that nothing was written, since a version or a claim would have been lost.
var errContested = errors.New("contested")

// contestsAfterOne is the number of batches written with a look for losers after one that had a
// loser: conflicts come in crowds, and finding one out the quick way costs a round trip and a
// transaction.
const contestsAfterOne = 16

// runUncontested writes everything in one round trip. It fails with errContested if something was
// lost.
func (w *batchWrite) runUncontested(ctx context.Context, conn *pgx.Conn) error {
	var batch pgx.Batch
	claims := claimsOf(w.entries)
	w.queuePayments(&batch, claims, len(w.entries), len(claims)).Query(func(rows pgx.Rows) error {
		rows.Close() // reads to the end
		return rows.Err()
	})
	appended, err := w.queueRest(&batch)
	if err != nil {
		return err
	}
	pgarray.Reserve(conn, &batch)
	err = conn.SendBatch(ctx, &batch).Close()
	switch {
	case err == nil:
		w.written(appended)
		return nil
	case isContest(err):
		w.contests.Store(contestsAfterOne)
		if err := rollback(ctx, conn, nil); err != nil {
			return err
		}
		return errContested
	default:
		return w.uncommitted(ctx, conn, fmt.Errorf("write payments and events: %w", err))
	}
}

// isContest recognizes the error by which write_payments.sql says that something was lost.
func isContest(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == divisionByZero
}

const divisionByZero = "22012"

// runContested sees who lost before it goes on.
func (w *batchWrite) runContested(ctx context.Context, conn *pgx.Conn) error {
	won, err := w.writePayments(ctx, conn)
	if err != nil {
		return fmt.Errorf("write payments: %w", rollback(ctx, conn, err))
	}
	w.answerConflicts(won)
	if len(w.entries) == 0 || w.answerLostClaims(won) {
		return rollback(ctx, conn, nil)
	}
	var batch pgx.Batch
	appended, err := w.queueRest(&batch)
	if err != nil {
		return rollback(ctx, conn, err)
	}
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return w.uncommitted(ctx, conn, fmt.Errorf("write events: %w", err))
	}
	w.written(appended)
	return nil
}

// uncommitted is what to say of an error of what ended with the commit.
func (w *batchWrite) uncommitted(ctx context.Context, conn *pgx.Conn, err error) error {
	if !refusedByServer(err) && !inTransaction(conn) {
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, err)
	}
	return rollback(ctx, conn, err)
}

// written hands the outbox rows on and answers every caller, in this order: a caller that goes on
// with a payment appends what follows.
func (w *batchWrite) written(appended *outbox.Appended) {
	w.committed(appended)
	settleAll(w.entries, nil)
	w.entries = nil
}

// winners are the payments that were written, and those whose claim was, too.
type winners struct{ written, claimed map[uuid.UUID]struct{} }

func (w *batchWrite) writePayments(ctx context.Context, conn *pgx.Conn) (winners, error) {
	won := winners{
		written: make(map[uuid.UUID]struct{}, len(w.entries)),
		claimed: make(map[uuid.UUID]struct{}, len(w.entries)),
	}
	var batch pgx.Batch
	w.queuePayments(&batch, claimsOf(w.entries), nil, nil).Query(func(rows pgx.Rows) error {
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

// queuePayments begins the transaction. mustWrite and mustClaim are how many payments and claims
// there have to be, nil for any.
func (w *batchWrite) queuePayments(batch *pgx.Batch, claims []*claimRow, mustWrite, mustClaim any) *pgx.QueuedQuery {
	batch.Queue(beginSQL)
	batch.Queue(settingsSQL)
	arguments := append(paymentColumns(w.entries), claimColumns(claims)...)
	return batch.Queue(writePaymentsSQL, append(arguments, mustWrite, mustClaim)...)
}

// claimsOf returns the claims in the order of their names, so that no two batches wait for each
// other.
func claimsOf(entries []*entry) []*claimRow {
	claims := make([]*claimRow, 0, len(entries))
	for _, e := range entries {
		if e.claim != nil {
			claims = append(claims, e.claim)
		}
	}
	slices.SortFunc(claims, func(a, b *claimRow) int { return strings.Compare(a.name(), b.name()) })
	return claims
}

// answerConflicts answers the entries that found another version than they expected, or no row
// where there was one. That stays so: versions only grow, and nothing but its first change makes a
// payment.
func (w *batchWrite) answerConflicts(won winners) {
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		_, written := won.written[e.row.ID]
		if !written {
			e.settle(ErrVersionConflict)
		}
		return !written
	})
}

// answerLostClaims answers the entries whose key another change has claimed, and reports whether
// there were any.
func (w *batchWrite) answerLostClaims(won winners) bool {
	before := len(w.entries)
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		_, claimed := won.claimed[e.row.ID]
		lost := e.claim != nil && !claimed
		if lost {
			e.settle(&ClaimTakenError{
				Tenant: e.claim.tenant, Command: messages.CommandName(e.claim.command), Key: e.claim.key, PaymentID: e.row.ID,
			})
		}
		return lost
	})
	return len(w.entries) < before
}

// queueRest queues what belongs to the payments that were written, and the commit.
func (w *batchWrite) queueRest(batch *pgx.Batch) (*outbox.Appended, error) {
	outgoing := make([]outbox.Stretch, len(w.entries))
	for at, e := range w.entries {
		outgoing[at] = outbox.Stretch{
			Key: e.orderingKey, After: e.row.PreviousVersion, Upto: e.row.Version, Messages: e.messages,
		}
	}
	history := newHistory(w.entries)
	history.queue(batch)
	appended, err := outbox.QueueStretches(batch, outgoing)
	if err != nil {
		return nil, err
	}
	batch.Queue(commitSQL).Exec(func(tag pgconn.CommandTag) error {
		if tag.String() != "COMMIT" {
			return fmt.Errorf("commit was answered with %s", tag)
		}
		return nil
	})
	return appended, nil
}

// inTransaction reports whether the connection lives and its transaction is still open, so that it
// was not committed.
func inTransaction(conn *pgx.Conn) bool {
	return !conn.IsClosed() && conn.PgConn().TxStatus() != 'I'
}

// rollback ends the transaction that cause has failed, if there is still a connection to do it on,
// and returns cause.
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
