package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// triesMax is how often a batch is tried when the database, and not a change, is at fault.
	triesMax = 4
	// retryDelay doubles with each try; up to half of it is left to chance.
	retryDelay = 20 * time.Millisecond
)

// Commit writes a change and returns when it is durable. It may be called concurrently; what is waiting at the same
// time is written in one transaction, and a change that can't be written doesn't disturb its neighbours.
//
// ErrVersionConflict and ErrClaimTaken mean that another change came first and nothing was written: load and decide
// again. ErrOutcomeUnknown means that it may have been written: load to see. Any other error means that nothing was
// written; [Retryable] tells whether the database or the change is at fault.
//
// A change whose ctx is done before its turn came is dropped. One that was taken goes on without its caller, who is
// then told ErrOutcomeUnknown together with the error of ctx.
func (s *Store) Commit(ctx context.Context, c Change) error {
	err := s.commit(ctx, &c)
	if err != nil && c.Payment != nil {
		return fmt.Errorf("commit payment %s: %w", c.Payment.ID, err)
	}
	return err
}

func (s *Store) commit(ctx context.Context, c *Change) (err error) {
	if c.PreviousHash, err = s.startOfChain(ctx, c); err != nil {
		return err
	}
	e, err := newEntry(c)
	if err != nil {
		return err
	}
	return s.await(ctx, e)
}

func (s *Store) await(ctx context.Context, e *entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.commits.add(e); err != nil {
		return err
	}
	select {
	case err := <-e.done:
		return err
	case <-ctx.Done():
		if s.commits.drop(e) {
			return ctx.Err()
		}
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, ctx.Err())
	}
}

// commitBatches is the life of one committer.
func (s *Store) commitBatches() {
	for {
		batch := s.commits.take()
		if batch == nil {
			return
		}
		s.commitBatch(slices.Clone(batch))
		s.commits.release(batch)
	}
}

// commitBatch sees to it that every entry of the batch gets its answer.
func (s *Store) commitBatch(batch []*entry) {
	for failures := 0; len(batch) > 0; {
		rest, err := s.tryBatch(batch)
		if err == nil {
			batch = rest // without those whose claim was lost
			continue
		}
		failures++
		switch {
		case failures < triesMax && worthAnotherTry(err):
			s.log.Warn("commit again", zap.Int("changes", len(rest)), zap.Int("failures", failures), zap.Error(err))
			pause(failures)
			batch = rest
			continue
		case len(rest) > 1 && isolates(err):
			// One of them can't be stored. Halving finds it in few steps and lets the others through.
			half := len(rest) / 2
			s.commitBatch(rest[:half])
			s.commitBatch(rest[half:])
		default:
			settleAll(rest, err)
		}
		return
	}
}

func (s *Store) tryBatch(batch []*entry) ([]*entry, error) {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	w := batchWrite{entries: batch, contests: &s.contests, committed: s.cfg.Committed}
	err := w.run(ctx, s.pool)
	return w.entries, err
}

// worthAnotherTry reports whether the whole batch may be tried again at once. A commit whose outcome is unknown may
// not: its callers have to look.
func worthAnotherTry(err error) bool {
	return Retryable(err) && !errors.Is(err, ErrOutcomeUnknown)
}

// isolates reports whether some entries of a batch may go through without the others.
func isolates(err error) bool {
	return dataFault(err) || !Retryable(err) && !refusedByServer(err)
}

func settleAll(entries []*entry, err error) {
	for _, e := range entries {
		e.settle(err)
	}
}

// pause waits before the try that follows the given number of failures.
func pause(failures int) {
	delay := retryDelay << (failures - 1)
	delay -= time.Duration(rand.Int64N(int64(delay / 2))) //nolint:gosec // G404: spreads retries, protects nothing
	<-time.After(delay)
}
