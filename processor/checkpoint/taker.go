package checkpoint

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
	"github.com/seed-384b1f8a/tender/processor/store/books"
)

const (
	// settlePause is how often to look whether the transactions that a checkpoint waits for have
	// ended.
	settlePause = 100 * time.Millisecond
	// markAgeMax is when to give a mark up: a transaction open for so long is left to the operator,
	// and the server may be another by now, where the mark means nothing.
	markAgeMax = 10 * time.Minute
)

// Taker takes checkpoints at an interval. Any number may run: events that one has covered are left
// out by the others.
type Taker struct {
	db       store.DB
	interval time.Duration
	log      *zap.Logger
	now      func() time.Time
	outage   retry.Outage
}

// NewTaker returns a taker that has not begun. The interval must be positive.
func NewTaker(db store.DB, interval time.Duration, log *zap.Logger, now func() time.Time) *Taker {
	return &Taker{
		db: db, interval: interval, log: log, now: now,
		outage: retry.Outage{Log: log, Failing: "cannot take checkpoints; retrying", Over: "taking checkpoints again"},
	}
}

// Run takes checkpoints until ctx is done; it always returns nil. PostgreSQL may be away at any
// time: events recorded meanwhile is covered later.
func (t *Taker) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		t.outage.Note(ctx, t.TakeAll(ctx))
		retry.Sleep(ctx, t.interval)
	}
	return nil
}

// TakeAll covers everything that was recorded until now.
func (t *Taker) TakeAll(ctx context.Context) error {
	mark, err := books.MarkCheckpoint(ctx, t.db)
	if err != nil || mark.IsZero() {
		return err
	}
	marked := t.now()
	for {
		c, err := books.TakeCheckpoint(ctx, t.db, mark, t.now())
		switch {
		case errors.Is(err, books.ErrTooEarly) && t.now().Sub(marked) < markAgeMax && retry.Sleep(ctx, settlePause):
		case err != nil:
			return err
		case c.Number == 0:
			return nil
		default:
			t.log.Debug("took a checkpoint", zap.Int64("number", c.Number), zap.Int64("events", c.Events),
				zap.Int64("payments", c.Payments), zap.Stringer("root", c.Root))
		}
	}
}
