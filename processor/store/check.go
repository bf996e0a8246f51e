package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckOptions tunes CheckInvariants. Zero values mean the defaults.
type CheckOptions struct {
	// Now is when the check takes place; zero means the time of the database.
	Now time.Time
	// StaleAfter is the age from which an unanswered call, a timer or a row of the outbox counts as stuck; 0 means 15 min.
	// It has to be longer than the pipeline takes to notice and to repair: the age given to SweepStale, and a lease.
	StaleAfter time.Duration
	// Workers is how many connections read at once, beside one that keeps the snapshot; 0 means one for each CPU, two at
	// least and no more than the pool allows.
	Workers int
	// FindingsMax bounds Report.Findings; 0 means 100. All violations are counted whatever it is.
	FindingsMax int
	// Progress is called after each piece of work, by one goroutine at a time. May be nil.
	Progress func(Progress)
	// Resume is what an interrupted check saved, to go on from there; nil begins anew.
	Resume *CheckState
	// Save is called after each piece of work, by one goroutine at a time, with what Resume needs. An error ends the check.
	// The state is only valid until Save returns. May be nil.
	Save func(*CheckState) error
}

// Progress says how far one part of a check is.
type Progress struct {
	// Pass names the part, Unit what it counts: payments, keys or rows.
	Pass, Unit string
	// Done of Total are checked; Resumed of Done were by the checks that this one continues.
	Done, Total, Resumed int64
}

// workersMin keeps PostgreSQL and the check busy at the same time on one CPU.
const workersMin = 2

func (o CheckOptions) withDefaults(pool *pgxpool.Pool) CheckOptions {
	if o.StaleAfter == 0 {
		o.StaleAfter = 15 * time.Minute
	}
	if o.Workers == 0 {
		o.Workers = defaultWorkers(pool)
	}
	if o.FindingsMax == 0 {
		o.FindingsMax = 100
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Save == nil {
		o.Save = func(*CheckState) error { return nil }
	}
	return o
}

// defaultWorkers leaves one connection of the pool to whoever hands out the work.
func defaultWorkers(pool *pgxpool.Pool) int {
	workers := max(runtime.GOMAXPROCS(0), workersMin)
	return max(1, min(workers, int(pool.Config().MaxConns)-1))
}

// CheckInvariants reads everything that is stored and reports what must hold and does not. It may run while payments
// are being processed: all of it is read as of one moment. Its memory does not grow with the number of payments; its
// snapshot keeps PostgreSQL from vacuuming for as long as it runs. The pool must allow Workers+1 connections.
//
// A check that was cut short goes on with CheckOptions.Resume, as of another moment: Report.Snapshots then holds more than
// one, and what has changed in between in the part that was done before is not looked at again.
//
// An error means that the check could not be completed, not that something is wrong with the data. ErrOtherCheck says that
// Resume belongs to another database or to a check with other options.
func CheckInvariants(ctx context.Context, pool *pgxpool.Pool, o CheckOptions) (Report, error) {
	o = o.withDefaults(pool)
	var report Report
	err := pgx.BeginTxFunc(ctx, pool, snapshotOptions(), func(tx pgx.Tx) error {
		c := &checker{pool: pool, options: o, ledger: newLedger(o)}
		passes, err := c.takeSnapshot(ctx, tx)
		if err == nil {
			err = c.run(ctx, tx, passes)
		}
		report = c.ledger.state.Report
		return err
	})
	if err != nil {
		return report, fmt.Errorf("check invariants: %w", err)
	}
	return report, nil
}

func snapshotOptions() pgx.TxOptions {
	return pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
}

type checker struct {
	pool     *pgxpool.Pool
	options  CheckOptions
	ledger   *ledger
	snapshot string
	// trace is told of each event of the history and what was found at it. May be nil.
	trace func(*eventRow, []Finding)
	// keepOrphans adds histories without a payment to the payments of their chunk.
	keepOrphans bool
}

// takeSnapshot fixes the moment for this transaction, to be lent to others, and says what there is to do.
func (c *checker) takeSnapshot(ctx context.Context, tx pgx.Tx) ([]*pass, error) {
	var now time.Time
	var payments, claims, outboxRows, checkpoints int64
	var database string
	err := tx.QueryRow(ctx, checkSnapshotSQL).Scan(&c.snapshot, &now, &payments, &claims, &outboxRows, &checkpoints, &database)
	if err != nil {
		return nil, fmt.Errorf("take snapshot: %w", err)
	}
	if c.options.Now.IsZero() {
		c.options.Now = now
	}
	if err := c.ledger.begin(database, c.options); err != nil {
		return nil, err
	}
	return []*pass{
		{name: "payments", unit: "payments", total: payments, cut: cutPayments, check: c.checkPayments},
		{name: "claims", unit: "keys", total: claims, cut: cutClaims, check: c.checkClaims},
		{name: "operations", unit: "keys", total: claims, cut: whole, check: c.checkOperations},
		{name: "outbox", unit: "rows", total: outboxRows, cut: whole, check: c.checkOutbox},
		{name: "checkpoints", unit: "checkpoints", total: checkpoints, cut: cutCheckpoints, check: checkCheckpoints},
	}, nil
}

// share takes the moment of the check over for another transaction.
func (c *checker) share(ctx context.Context, tx pgx.Tx) error {
	// The id comes from pg_export_snapshot; the statement takes no arguments.
	if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+c.snapshot+"'"); err != nil {
		return fmt.Errorf("share snapshot: %w", err)
	}
	return nil
}

// staleBefore is the moment before which what is unfinished counts as stuck.
func (c *checker) staleBefore() time.Time { return c.options.Now.Add(-c.options.StaleAfter) }

// ErrOtherCheck says that CheckOptions.Resume does not belong to this check.
var ErrOtherCheck = errors.New("the saved progress is that of another check")
