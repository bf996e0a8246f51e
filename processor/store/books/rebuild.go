package books

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/seed-384b1f8a/tender/outbox/pgarray"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// RebuildOptions tunes Rebuild. Zero values mean the defaults.
type RebuildOptions struct {
	// Payments are those to look at; none means all.
	Payments []uuid.UUID
	// Apply writes what differs; without it nothing is changed.
	Apply bool
	// Workers is how many connections work at once, beside one; 0 means one for each CPU, two at
	// least and no more than the pool allows.
	Workers int
	// Found is called for each payment that differs from its history or that can't be rebuilt, by
	// one goroutine at a time. An error ends the rebuild. May be nil.
	Found func(Rebuilt) error
	// Progress is called now and then, by one goroutine at a time. May be nil.
	Progress func(Progress)
}

// Rebuilt is what the history of a payment says about its row and its timer.
type Rebuilt struct {
	PaymentID uuid.UUID `json:"payment_id"`
	// Differences are what is written, or would be.
	Differences []Difference `json:"differences,omitempty"`
	// Damage is why the payment can't be rebuilt and is left alone; "" if it can.
	Damage string `json:"damage,omitempty"`
	// Applied says that the differences are gone.
	Applied bool `json:"applied"`
}

// Difference is one value that is stored otherwise than the history has it. "" is a value that
// isn't there.
type Difference struct {
	// Table is payments or timers. Field is a column, a field of the state ("state.status"), "row"
	// for a whole row of payments, or the kind of a timer.
	Table string `json:"table"`
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// RebuildReport is the result of Rebuild.
type RebuildReport struct {
	// Payments were looked at; Differing of them are stored otherwise than their history has it, of
	// which Applied were written; Damaged can't be rebuilt.
	Payments  int64 `json:"payments"`
	Differing int64 `json:"differing"`
	Applied   int64 `json:"applied"`
	Damaged   int64 `json:"damaged"`
}

// Rebuild derives the rows of payments and their timers from the events, tells what differs from
// what is stored and, if asked to, writes it. It never writes events, nor anything that the serving
// role may not write.
//
// A payment is written only if it is still at the version at which it was read; one that has moved
// meanwhile is decided anew. A history that can't be folded, or that ends before the state does, is
// reported and left alone: to write what is left of it would forget money that moved. It may be
// repeated, and run while payments are processed.
func Rebuild(ctx context.Context, pool *pgxpool.Pool, o RebuildOptions) (RebuildReport, error) {
	o.Workers = cmp.Or(o.Workers, defaultWorkers(pool))
	if o.Found == nil {
		o.Found = func(Rebuilt) error { return nil }
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	r := &rebuilder{pool: pool, options: o, total: int64(len(o.Payments))}
	if err := r.run(ctx); err != nil {
		return r.report, fmt.Errorf("rebuild payments: %w", err)
	}
	return r.report, nil
}

type rebuilder struct {
	pool    *pgxpool.Pool
	options RebuildOptions
	total   int64

	mu     sync.Mutex
	report RebuildReport
}

// run hands out chunks to the workers.
func (r *rebuilder) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	chunks := make(chan chunk)
	var working sync.WaitGroup
	for range r.options.Workers {
		working.Go(func() {
			for next := range chunks {
				if err := r.rebuildChunk(ctx, next); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	err := r.cut(ctx, func(next chunk) error {
		select {
		case chunks <- next:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	if err != nil {
		cancel(err)
	}
	close(chunks)
	working.Wait()
	return context.Cause(ctx)
}

// cut yields the payments that were asked for, or the range of all ids in chunks whose ends meet.
func (r *rebuilder) cut(ctx context.Context, yield func(chunk) error) error {
	for _, paymentID := range r.options.Payments {
		if err := yield(chunk{paymentID, paymentID}); err != nil {
			return err
		}
	}
	if len(r.options.Payments) > 0 {
		return nil
	}
	if err := r.pool.QueryRow(ctx, rebuildCountSQL).Scan(&r.total); err != nil {
		return fmt.Errorf("count payments: %w", err)
	}
	from := uuid.Nil
	for {
		var bound pgtype.UUID
		err := r.pool.QueryRow(ctx, rebuildBoundSQL, id(from), checkChunk-1).Scan(&bound)
		if errors.Is(err, pgx.ErrNoRows) {
			return yield(chunk{from, uuid.Max})
		}
		if err != nil {
			return fmt.Errorf("cut into chunks: %w", err)
		}
		if err := yield(chunk{from, bound.Bytes}); err != nil {
			return err
		}
		from = successor(bound.Bytes)
	}
}

// roundsMax bounds how often payments that move are decided anew. Each round is lost to a change
// that was made meanwhile.
const roundsMax = 20

// rebuildChunk compares the payments of a chunk with their histories and writes what differs.
func (r *rebuilder) rebuildChunk(ctx context.Context, in chunk) error {
	plans, looked, err := r.plan(ctx, in)
	if err != nil {
		return fmt.Errorf("read payments: %w", err)
	}
	for round := 1; r.options.Apply; round++ {
		lost, err := r.apply(ctx, plans)
		if err != nil {
			return fmt.Errorf("write payments: %w", err)
		}
		if len(lost) == 0 {
			break
		}
		if round == roundsMax {
			return fmt.Errorf("payment %s: %w", lost[0].PaymentID, store.ErrVersionConflict)
		}
		if plans, err = r.planAgain(ctx, plans, lost); err != nil {
			return fmt.Errorf("read payments again: %w", err)
		}
	}
	return r.tell(plans, looked)
}

// planAgain decides the payments anew that have moved.
func (r *rebuilder) planAgain(ctx context.Context, plans, lost []*plan) ([]*plan, error) {
	plans = slices.DeleteFunc(plans, func(p *plan) bool { return slices.Contains(lost, p) })
	for _, p := range lost {
		again, _, err := r.plan(ctx, chunk{p.PaymentID, p.PaymentID})
		if err != nil {
			return nil, err
		}
		plans = append(plans, again...)
	}
	return plans, nil
}

// tell reports what became of a chunk.
func (r *rebuilder) tell(plans []*plan, looked int) error {
	slices.SortFunc(plans, func(a, b *plan) int { return slices.Compare(a.PaymentID[:], b.PaymentID[:]) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Payments += int64(looked)
	for _, p := range plans {
		switch {
		case p.Damage != "":
			r.report.Damaged++
		default:
			r.report.Differing++
		}
		if p.Applied {
			r.report.Applied++
		}
		if err := r.options.Found(p.Rebuilt); err != nil {
			return err
		}
	}
	r.options.Progress(Progress{
		Pass: "payments", Unit: "payments", Done: r.report.Payments, Total: max(r.total, r.report.Payments),
	})
	return nil
}

// apply writes what isn't written yet in one transaction, and returns the payments that have moved
// since they were read.
func (r *rebuilder) apply(ctx context.Context, plans []*plan) (lost []*plan, err error) {
	var open, orphans []*plan
	for _, p := range plans {
		switch {
		case p.Damage != "" || p.Applied:
		case p.orphaned():
			orphans = append(orphans, p)
		default:
			open = append(open, p)
		}
	}
	if len(open)+len(orphans) == 0 {
		return nil, nil
	}
	slices.SortFunc(open, func(a, b *plan) int { return slices.Compare(a.PaymentID[:], b.PaymentID[:]) })
	var written map[uuid.UUID]bool
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, store.Settings()); err != nil {
			return err
		}
		var err error
		if written, err = writeRebuilt(ctx, tx, open); err != nil {
			return err
		}
		return writeRebuiltTimers(ctx, tx, open, orphans, written)
	})
	if err != nil {
		return nil, err
	}
	for _, p := range orphans {
		p.Applied = true
	}
	for _, p := range open {
		if p.Applied = written[p.PaymentID]; !p.Applied {
			lost = append(lost, p)
		}
	}
	return lost, nil
}

// writeRebuilt writes the rows whose payments haven't moved, and holds them.
func writeRebuilt(ctx context.Context, tx pgx.Tx, plans []*plan) (map[uuid.UUID]bool, error) {
	held, err := collectIDs(tx.Query(ctx, rebuildLockSQL,
		pgarray.UUIDs(plans, func(p *plan) uuid.UUID { return p.PaymentID }), pgarray.Int64s(plans, func(p *plan) int64 { return p.version })))
	if err != nil {
		return nil, err
	}
	var rows []store.PaymentRow
	for _, p := range plans {
		if p.version == 0 || held[p.PaymentID] {
			rows = append(rows, p.row)
		}
	}
	arguments := append(store.PaymentColumns(rows), column(rows, func(r store.PaymentRow) pgtype.UUID {
		return pgtype.UUID{Bytes: r.ID, Valid: held[r.ID]}
	}))
	return collectIDs(tx.Query(ctx, rebuildPaymentsSQL, arguments...))
}

func collectIDs(rows pgx.Rows, err error) (map[uuid.UUID]bool, error) {
	if err != nil {
		return nil, err
	}
	ids := map[uuid.UUID]bool{}
	var paymentID uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&paymentID)}, func() error {
		ids[paymentID] = true
		return nil
	})
	return ids, err
}

// writeRebuiltTimers replaces the timers that are wrong, of the payments that were written, and
// removes those without a payment.
func writeRebuiltTimers(ctx context.Context, tx pgx.Tx, plans, orphans []*plan, written map[uuid.UUID]bool) error {
	var wrong []uuid.UUID
	var wanted []store.Timer
	for _, p := range plans {
		if !p.wrongTimer || !written[p.PaymentID] {
			continue
		}
		wrong = append(wrong, p.PaymentID)
		if !p.timer.At.IsZero() {
			wanted = append(wanted, store.Timer{
				PaymentID: p.PaymentID, Tenant: p.row.Tenant, DueAt: p.timer.At, Gateway: p.timer.Gateway,
			})
		}
	}
	if err := store.ReplaceTimers(ctx, tx, wrong, wanted); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, rebuildTimersSQL, pgarray.UUIDs(orphans, func(p *plan) uuid.UUID { return p.PaymentID }))
	return err
}
