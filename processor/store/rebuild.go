package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RebuildOptions tunes Rebuild. Zero values mean the defaults.
type RebuildOptions struct {
	// Payments are those to look at; none means all.
	Payments []uuid.UUID
	// Apply writes what differs; without it nothing is changed.
	Apply bool
	// Workers is how many connections work at once, beside one; 0 means one for each CPU, two at least and no more than the
	// pool allows.
	Workers int
	// Found is called for each payment that differs from its history or that can't be rebuilt, by one goroutine at a
	// time. An error ends the rebuild. May be nil.
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

// Difference is one value that is stored otherwise than the history has it. "" is a value that isn't there.
type Difference struct {
	// Table is payments or timers. Field is a column, a field of the state ("state.status"), "row" for a whole row of
	// payments, or the kind of a timer.
	Table string `json:"table"`
	Field string `json:"field"`
	From  string `json:"from"`
	To    string `json:"to"`
}

// RebuildReport is the result of Rebuild.
type RebuildReport struct {
	// Payments were looked at; Differing of them are stored otherwise than their history has it, of which Applied were
	// written; Damaged can't be rebuilt.
	Payments  int64 `json:"payments"`
	Differing int64 `json:"differing"`
	Applied   int64 `json:"applied"`
	Damaged   int64 `json:"damaged"`
}

// Rebuild derives the rows of payments and their timers from the events, tells what differs from what is stored and, if
// asked to, writes it. It never writes events, nor anything that the serving role may not write.
//
// A payment is written only if it is still at the version at which it was read; one that has moved meanwhile is decided
// anew. A history that can't be folded, or that ends before the state does, is reported and left alone: to write what is
// left of it would forget money that moved. It may be repeated, and run while payments are processed.
func Rebuild(ctx context.Context, pool *pgxpool.Pool, o RebuildOptions) (RebuildReport, error) {
	if o.Workers == 0 {
		o.Workers = defaultWorkers(pool)
	}
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

// roundsMax bounds how often payments that move are decided anew. Each round is lost to a change that was made meanwhile.
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
			return fmt.Errorf("payment %s: %w", lost[0].PaymentID, ErrVersionConflict)
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
