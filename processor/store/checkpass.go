package store

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
)

// pass is one part of a check, with a progress of its own. Its pieces are checked by several workers at once; a further
// pass needs no more than an entry in takeSnapshot.
type pass struct {
	// name stands in saved progress, so it stays; unit is what is counted.
	name, unit string
	total      int64
	// cut yields the pieces in order, beginning after the end of a piece that an earlier check has done ("" is the
	// beginning), and marks the last. It runs in the transaction that keeps the snapshot.
	cut func(ctx context.Context, tx pgx.Tx, after string, yield func(piece) error) error
	// check checks one piece and counts it in tally.done. It runs in the transaction of a worker, as of the snapshot.
	check func(ctx context.Context, tx pgx.Tx, p piece, t *tally) error
}

// piece is what a worker takes at a time: a range in whatever order the pass has. The texts are the pass's own.
type piece struct {
	after, to string
	last      bool
}

// whole is for a pass that is one piece.
func whole(_ context.Context, _ pgx.Tx, _ string, yield func(piece) error) error {
	return yield(piece{last: true})
}

// job is a piece on its way; jobs are numbered in the order in which they are to be recorded.
type job struct {
	pass   *pass
	piece  piece
	number int
}

// run hands out the pieces of all passes, one pass after the other, without waiting in between.
func (c *checker) run(ctx context.Context, tx pgx.Tx, passes []*pass) error {
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
	if err := c.cut(ctx, tx, passes, jobs); err != nil {
		cancel(err)
	}
	close(jobs)
	working.Wait()
	return context.Cause(ctx)
}

func (c *checker) cut(ctx context.Context, tx pgx.Tx, passes []*pass, jobs chan<- job) error {
	number := 0
	for _, p := range passes {
		after, done := c.ledger.enter(p)
		if done {
			continue
		}
		err := p.cut(ctx, tx, after, func(next piece) error {
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

// work checks pieces on a connection of its own, as of the common snapshot.
func (c *checker) work(ctx context.Context, jobs <-chan job) error {
	return pgx.BeginTxFunc(ctx, c.pool, snapshotOptions(), func(tx pgx.Tx) error {
		if err := c.share(ctx, tx); err != nil {
			return err
		}
		for {
			select {
			case j, more := <-jobs:
				if !more {
					return nil
				}
				if err := c.do(ctx, tx, j); err != nil {
					return err
				}
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	})
}

func (c *checker) do(ctx context.Context, tx pgx.Tx, j job) error {
	t := newTally()
	if err := j.pass.check(ctx, tx, j.piece, t); err != nil {
		return fmt.Errorf("check %s: %w", j.pass.name, err)
	}
	return c.ledger.record(j, t)
}
