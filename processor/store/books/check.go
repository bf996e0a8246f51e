package books

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/processor/store"
)

// CheckOptions tunes CheckInvariants. Zero values mean the defaults.
type CheckOptions struct {
	// Now is when the check takes place; zero means the time of the database.
	Now time.Time
	// StaleAfter is the age from which an unanswered call, a timer or a row of the outbox counts as
	// stuck; 0 means 15 min. It has to be longer than the pipeline takes to notice and to repair:
	// the age given to SweepStale, and a lease.
	StaleAfter time.Duration
	// Workers is how many connections read at once, beside one that cuts the work into pieces; 0
	// means one for each CPU, two at least and no more than the pool allows.
	Workers int
	// FindingsMax bounds Report.Findings; 0 means 100. All violations are counted under any limit.
	FindingsMax int
	// Progress is called after each piece of work, by one goroutine at a time. May be nil.
	Progress func(Progress)
	// Resume is what an interrupted check saved, to go on from there; nil begins anew.
	Resume *CheckState
	// Save is called after each piece of work, by one goroutine at a time, with what Resume needs.
	// An error ends the check. The state is only valid until Save returns. May be nil.
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
	o.StaleAfter = cmp.Or(o.StaleAfter, 15*time.Minute)
	o.Workers = cmp.Or(o.Workers, defaultWorkers(pool))
	o.FindingsMax = cmp.Or(o.FindingsMax, 100)
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.Save == nil {
		o.Save = func(*CheckState) error { return nil }
	}
	return o
}

// defaultWorkers leaves one connection of the pool to the goroutine that hands out the work.
func defaultWorkers(pool *pgxpool.Pool) int {
	workers := max(runtime.GOMAXPROCS(0), workersMin)
	return max(1, min(workers, int(pool.Config().MaxConns)-1))
}

// CheckInvariants reads everything that is stored and reports what must hold and does not. It may
// run while payments are being processed. Its memory does not grow with the number of payments. The
// pool must allow Workers+1 connections.
//
// It reads in pieces, each in a short transaction that sees one moment, so that no statement grows
// with a table and no snapshot keeps PostgreSQL from vacuuming; it runs under the timeouts of
// statements and idle transactions that a server is set to. That is enough, because no invariant
// joins rows of two pieces: a commit writes a payment's row, events, timer, claims and messages in
// one transaction, and everything that is compared with each other is read in one piece. A payment
// with its events and its timers is one. A claim is read with the payment and the event that it
// names; a row of the outbox with its event; a checkpoint with the events that it covers, which
// never change. Two claims of one operation are both there in every later moment, since claims are
// never deleted, so they are found also where each is read in another. What is written behind the
// place that a check has come to is left to the next one, as what is written after a snapshot
// would be.
//
// A check that was cut short goes on with CheckOptions.Resume: Report.Snapshots then holds more
// than one time, and what has changed in between in the part that was done before is not looked at
// again.
//
// An error means that the check could not be completed, not that something is wrong with the data.
// ErrOtherCheck says that Resume belongs to another database or to a check with other options.
func CheckInvariants(ctx context.Context, pool *pgxpool.Pool, o CheckOptions) (Report, error) {
	o = o.withDefaults(pool)
	c := &checker{pool: pool, options: o, ledger: newLedger(o)}
	passes, err := c.passes(ctx)
	if err == nil {
		err = c.run(ctx, passes)
	}
	if err != nil {
		return c.ledger.state.Report, fmt.Errorf("check invariants: %w", err)
	}
	return c.ledger.state.Report, nil
}

func snapshotOptions() pgx.TxOptions {
	return pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
}

type checker struct {
	pool    *pgxpool.Pool
	options CheckOptions
	ledger  *ledger
	// trace is told of each event of the history and what was found at it. May be nil.
	trace func(*eventRow, []Finding)
	// keepOrphans adds histories without a payment to the payments of their chunk.
	keepOrphans bool
}

// passes says what there is to do, and about how much.
func (c *checker) passes(ctx context.Context) ([]*pass, error) {
	var now time.Time
	var payments, claims, outboxRows, checkpoints int64
	var database string
	err := c.pool.QueryRow(ctx, checkSnapshotSQL).Scan(&now, &payments, &claims, &outboxRows, &checkpoints, &database)
	if err != nil {
		return nil, fmt.Errorf("look at the tables: %w", err)
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
		{name: "operations", unit: "keys", total: claims, cut: cutOperations(claims), check: c.checkOperations, apart: true},
		{name: "outbox", unit: "rows", total: outboxRows, cut: cutOutbox, check: c.checkOutbox},
		{name: "checkpoints", unit: "checkpoints", total: checkpoints, cut: cutCheckpoints, check: checkCheckpoints},
	}, nil
}

// staleBefore is the moment before which what is unfinished counts as stuck.
func (c *checker) staleBefore() time.Time { return c.options.Now.Add(-c.options.StaleAfter) }

// pass is one part of a check, with a progress of its own. Its pieces are checked by several
// workers at once; a further pass needs no more than an entry in takeSnapshot.
type pass struct {
	// name stands in saved progress, so it stays; unit is what is counted.
	name, unit string
	// total is an estimate.
	total int64
	// cut yields the pieces in order, beginning after the end of a piece that an earlier check has
	// done ("" is the beginning), and marks the last. No statement or transaction of it is open
	// while it yields.
	cut func(ctx context.Context, db store.DB, after string, yield func(piece) error) error
	// apart says that check makes transactions of its own and is given none.
	apart bool
	// check checks one piece and counts it in tally.done. It runs in a transaction of its own,
	// which sees one moment.
	check func(ctx context.Context, tx pgx.Tx, p piece, t *tally) error
}

// piece is what a worker takes at a time: a range in the order of the pass. The texts are the
// pass's own.
type piece struct {
	after, to string
	last      bool
}

// job is a piece on its way; jobs are numbered in the order in which they are to be recorded.
type job struct {
	pass   *pass
	piece  piece
	number int
}

// run hands out the pieces of all passes, one pass after the other, without waiting in between.
func (c *checker) run(ctx context.Context, passes []*pass) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job)
	var working sync.WaitGroup
	for range c.options.Workers {
		working.Go(func() {
			if err := c.work(ctx, jobs); err != nil {
				cancel(err)
			}
		})
	}
	if err := c.cut(ctx, passes, jobs); err != nil {
		cancel(err)
	}
	close(jobs)
	working.Wait()
	return context.Cause(ctx)
}

func (c *checker) cut(ctx context.Context, passes []*pass, jobs chan<- job) error {
	number := 0
	for _, p := range passes {
		after, done := c.ledger.enter(p)
		if done {
			continue
		}
		err := p.cut(ctx, c.pool, after, func(next piece) error {
			select {
			case jobs <- job{p, next, number}:
				number++
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		if err != nil {
			return fmt.Errorf("cut %s into pieces: %w", p.name, err)
		}
	}
	return nil
}

// work checks pieces, each in a transaction of its own.
func (c *checker) work(ctx context.Context, jobs <-chan job) error {
	for {
		select {
		case j, more := <-jobs:
			if !more {
				return nil
			}
			if err := c.do(ctx, j); err != nil {
				return err
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (c *checker) do(ctx context.Context, j job) error {
	t := newTally()
	var err error
	if j.pass.apart {
		err = j.pass.check(ctx, nil, j.piece, t)
	} else {
		err = pgx.BeginTxFunc(ctx, c.pool, snapshotOptions(), func(tx pgx.Tx) error { return j.pass.check(ctx, tx, j.piece, t) })
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", j.pass.name, err)
	}
	return c.ledger.record(j, t)
}

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
	// Unchecked says that an event before this one could not be folded, so that nothing can be said
	// about it.
	Unchecked bool `json:"unchecked,omitempty"`
}

// Clean reports whether every invariant holds for the payment.
func (p *PaymentCheck) Clean() bool { return len(p.Findings) == 0 }

// Nothing reports whether nothing at all is stored about the payment.
func (p *PaymentCheck) Nothing() bool {
	return !p.Exists && len(p.Events) == 0 && p.Timers+p.Claims+p.OutboxRows == 0
}

// CheckPayment checks one payment as CheckInvariants does all of them, and says what it found
// event by event. It works the payment's rows, also if only some are there. Of the options it
// takes Now and StaleAfter. Its keys are found by reading all keys of the database, page by page,
// since they are ordered otherwise.
func CheckPayment(ctx context.Context, pool *pgxpool.Pool, paymentID uuid.UUID, o CheckOptions) (PaymentCheck, error) {
	result := PaymentCheck{PaymentID: paymentID, Events: []EventCheck{}, Findings: []Finding{}}
	o = o.withDefaults(pool)
	err := func() error {
		if o.Now.IsZero() {
			if err := pool.QueryRow(ctx, nowSQL).Scan(&o.Now); err != nil {
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
		err := c.checkOne(ctx, paymentID, t)
		result.Exists = t.payments > 0
		result.Timers, result.Claims, result.OutboxRows = t.timers, t.claims, t.outboxRows
		result.Findings = append(result.Findings, t.findings...)
		return err
	}()
	if err != nil {
		return result, fmt.Errorf("check payment %s: %w", paymentID, err)
	}
	return result, nil
}

// checkOne runs every pass for one payment, each piece in a transaction of its own.
func (c *checker) checkOne(ctx context.Context, paymentID uuid.UUID, t *tally) error {
	one := func(check func(pgx.Tx) error) error { return pgx.BeginTxFunc(ctx, c.pool, snapshotOptions(), check) }
	if err := one(func(tx pgx.Tx) error { return c.checkChunk(ctx, tx, chunk{paymentID, paymentID}, t) }); err != nil {
		return err
	}
	err := cutClaims(ctx, c.pool, "", func(p piece) error {
		return one(func(tx pgx.Tx) error { return checkClaims(ctx, tx, p, id(paymentID), t) })
	})
	if err != nil {
		return err
	}
	if err := checkOperations(ctx, c.pool, func(u uuid.UUID) bool { return u == paymentID }, t); err != nil {
		return fmt.Errorf("read operations: %w", err)
	}
	err = one(func(tx pgx.Tx) error { return c.checkMessages(ctx, tx, paymentID.String(), piece{last: true}, t) })
	if err != nil {
		return fmt.Errorf("read outbox: %w", err)
	}
	return nil
}

// ErrOtherCheck says that CheckOptions.Resume does not belong to this check.
var ErrOtherCheck = errors.New("the saved progress is that of another check")
