package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckOptions tunes CheckInvariants. Zero values mean the defaults.
type CheckOptions struct {
	// Now is when the check takes place; zero means the time of the database.
	Now time.Time
	// StaleAfter is the age from which an unanswered call, a timer or a row of the outbox counts as stuck; 0 means 15 min.
	// It has to be longer than the pipeline takes to notice and to repair: the age given to SweepStale, and a lease.
	StaleAfter time.Duration
	// Workers is how many connections read at once, beside one that keeps the snapshot; 0 means 2.
	Workers int
	// FindingsMax bounds Report.Findings; 0 means 100. All violations are counted whatever it is.
	FindingsMax int
	// Progress is called now and then, by one goroutine at a time, with the payments done and in all. May be nil.
	Progress func(done, total int64)
}

func (o CheckOptions) withDefaults() CheckOptions {
	if o.StaleAfter == 0 {
		o.StaleAfter = 15 * time.Minute
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	if o.FindingsMax == 0 {
		o.FindingsMax = 100
	}
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	return o
}

// checkChunk is how many payments a worker takes at a time.
const checkChunk = 500

// CheckInvariants reads everything that is stored and reports what must hold and does not. It may run while payments
// are being processed: all of it is read as of one moment. Its memory does not grow with the number of payments; its
// snapshot keeps PostgreSQL from vacuuming for as long as it runs. The pool must allow Workers+1 connections.
//
// An error means that the check could not be completed, not that something is wrong with the data.
func CheckInvariants(ctx context.Context, pool *pgxpool.Pool, o CheckOptions) (Report, error) {
	o = o.withDefaults()
	var report Report
	err := pgx.BeginTxFunc(ctx, pool, snapshotOptions(), func(tx pgx.Tx) error {
		c := &checker{pool: pool, options: o, ledger: newLedger(o.FindingsMax)}
		var err error
		if err = c.takeSnapshot(ctx, tx); err == nil {
			err = c.run(ctx, tx)
		}
		if err == nil {
			err = c.checkCheckpoints(ctx, tx)
		}
		report = c.ledger.report
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
	total    int64

	progress sync.Mutex
}

// takeSnapshot fixes the moment for this transaction and lends it to others.
func (c *checker) takeSnapshot(ctx context.Context, tx pgx.Tx) error {
	var now time.Time
	if err := tx.QueryRow(ctx, checkSnapshotSQL).Scan(&c.snapshot, &now, &c.total); err != nil {
		return fmt.Errorf("take snapshot: %w", err)
	}
	if c.options.Now.IsZero() {
		c.options.Now = now
	}
	c.ledger.report.At = c.options.Now
	return nil
}

// staleBefore is the moment before which what is unfinished counts as stuck.
func (c *checker) staleBefore() time.Time { return c.options.Now.Add(-c.options.StaleAfter) }

// chunk is a range of payment ids, both ends included.
type chunk struct{ from, to uuid.UUID }

// run hands out chunks to the workers and checks the rest itself.
func (c *checker) run(ctx context.Context, tx pgx.Tx) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan chunk)
	var working sync.WaitGroup
	for range c.options.Workers {
		working.Go(func() {
			if err := c.work(ctx, chunks); err != nil {
				cancel(err)
			}
		})
	}
	err := c.cut(ctx, tx, chunks)
	close(chunks)
	if err == nil {
		err = c.checkRest(ctx, tx)
	}
	if err != nil {
		cancel(err)
	}
	working.Wait()
	return context.Cause(ctx)
}

// cut cuts the range of all ids into chunks with about as many payments each. The ends meet, so that events and timers
// of payments that don't exist fall into some chunk, too.
func (c *checker) cut(ctx context.Context, tx pgx.Tx, chunks chan<- chunk) error {
	next := chunk{to: uuid.Max}
	for {
		var bound pgtype.UUID
		err := tx.QueryRow(ctx, checkBoundSQL, id(next.from), checkChunk-1).Scan(&bound)
		last := errors.Is(err, pgx.ErrNoRows)
		if err != nil && !last {
			return fmt.Errorf("cut into chunks: %w", err)
		}
		next.to = uuid.Max
		if !last {
			next.to = bound.Bytes
		}
		select {
		case chunks <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next.to == uuid.Max {
			return nil
		}
		next.from = successor(next.to)
	}
}

// successor is the next id in the order of PostgreSQL, which is that of the bytes.
func successor(u uuid.UUID) uuid.UUID {
	for i := len(u) - 1; i >= 0; i-- {
		u[i]++
		if u[i] != 0 {
			break
		}
	}
	return u
}

// work checks chunks on a connection of its own, as of the common snapshot.
func (c *checker) work(ctx context.Context, chunks <-chan chunk) error {
	return pgx.BeginTxFunc(ctx, c.pool, snapshotOptions(), func(tx pgx.Tx) error {
		// The id comes from pg_export_snapshot; the statement takes no arguments.
		if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+c.snapshot+"'"); err != nil {
			return fmt.Errorf("share snapshot: %w", err)
		}
		for {
			select {
			case next, more := <-chunks:
				if !more {
					return nil
				}
				if err := c.checkChunk(ctx, tx, next); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

func (c *checker) done(t *tally) {
	c.progress.Lock()
	defer c.progress.Unlock()
	c.options.Progress(c.ledger.add(t), c.total)
}
