package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/messages"
	"github.com/seed-384b1f8a/tender/outbox"
	"github.com/seed-384b1f8a/tender/outbox/pgarray"
)

// Config tunes a Store. Zero values mean the defaults.
type Config struct {
	// Committers is how many batches of changes may be under way at once; 0 means 4. Each uses a
	// connection of the pool.
	Committers int
	// Loaders is the same for loads; 0 means 2.
	Loaders int
	// BatchMax is the largest number of requests in one batch; 0 means 512.
	BatchMax int
	// Timeout bounds one try at a batch, connecting included; 0 means 15 s.
	Timeout time.Duration
	// Committed is called after every transaction with what it wrote to the outbox, before the
	// callers of its changes have their answers; it may be nil. It must not wait for anything. See
	// [outbox.Relay.Offer].
	Committed func(*outbox.Appended)
}

func (c Config) withDefaults() Config {
	c.Committers = cmp.Or(c.Committers, 4)
	c.Loaders = cmp.Or(c.Loaders, 2)
	c.BatchMax = cmp.Or(c.BatchMax, 512)
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	if c.Committed == nil {
		c.Committed = func(*outbox.Appended) {}
	}
	return c
}

// commitsBesideLeast is from how many waiting changes on a transaction is worth its own costs while
// another is under way. The first change of a transaction takes some ten times as long as each
// further one.
const commitsBesideLeast = 32

// batchSizeMax bounds the bytes of the changes written in one transaction.
const batchSizeMax = 8 << 20

// Store reads and writes payments. Its methods may be called concurrently, and several stores, in
// one process or in many, may work on the same database.
type Store struct {
	pool *pgxpool.Pool
	cfg  Config
	log  *zap.Logger

	commits *queue[*entry]
	loads   *queue[*lookup]
	working sync.WaitGroup
	// contests is how many batches are yet to be written with a look at who lost; see
	// contestsAfterOne.
	contests atomic.Int64
}

// New returns a store on a database that was migrated, with its goroutines started. The pool stays
// the caller's: it is to be closed after the store, and should hold more connections than
// Committers and Loaders together.
func New(pool *pgxpool.Pool, cfg Config, log *zap.Logger) *Store {
	cfg = cfg.withDefaults()
	s := &Store{
		pool: pool, cfg: cfg, log: log,
		commits: newQueue(cfg.BatchMax, batchSizeMax, (*entry).keys, (*entry).size),
		loads:   newQueue(cfg.BatchMax, batchSizeMax, (*lookup).keys, (*lookup).size),
	}
	s.commits.besideLeast = commitsBesideLeast
	for range cfg.Committers {
		s.working.Go(s.commitBatches)
	}
	for range cfg.Loaders {
		s.working.Go(s.loadBatches)
	}
	return s
}

// Close waits until what was enqueued has its answer, which may take a few times Config.Timeout if
// the database is gone, and ends the goroutines. From then on Commit and Load return ErrClosed;
// what needs no queue goes on working. Close may be called again.
func (s *Store) Close() {
	s.commits.close()
	s.loads.close()
	s.working.Wait()
}

const (
	// triesMax is how often a batch is tried when the database, and not a change, is at fault.
	triesMax = 4
	// retryDelay doubles with each try; up to half of it is left to chance.
	retryDelay = 20 * time.Millisecond
)

// Commit writes a change and returns when it is durable. It may be called concurrently; what is
// waiting at the same time is written in one transaction, and a change that can't be written
// doesn't disturb its neighbours.
//
// ErrVersionConflict and ErrClaimTaken mean that another change came first and nothing was written:
// load and decide again. ErrOutcomeUnknown means that it may have been written: load to see. Any
// other error means that nothing was written; [Retryable] tells whether the database or the change
// is at fault.
//
// A change whose ctx is done before its turn came is dropped. One that was taken goes on without
// its caller, who is then told ErrOutcomeUnknown together with the error of ctx.
func (s *Store) Commit(ctx context.Context, c Change) error {
	err := s.commit(ctx, &c)
	if err != nil && c.Payment != nil {
		return fmt.Errorf("commit payment %s at version %d: %w", c.Payment.ID, c.Payment.Version, err)
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

// startOfChain is the hash that the first event of a change carries: that of the payment's latest
// event. A payment that was last written by a version without chains has none in its state; then
// its latest event is hashed, so that the chain covers it from now on.
func (s *Store) startOfChain(ctx context.Context, c *Change) (messages.Hash, error) {
	if c.ExpectedVersion == 0 || !c.PreviousHash.IsZero() || c.Payment == nil {
		return c.PreviousHash, nil
	}
	var hash []byte
	err := s.pool.QueryRow(ctx, eventHashSQL, id(c.Payment.ID), c.ExpectedVersion).Scan(&hash)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // The version was never written: the change will lose.
		return messages.Hash{}, nil
	case err != nil:
		return messages.Hash{}, fmt.Errorf("hash event %d: %w", c.ExpectedVersion, err)
	default:
		return messages.Hash(hash), nil
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
			// One of them can't be stored. Halving finds it in few steps and lets the others
			// through.
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

// Load reads a payment and the claims that matter to a command. It may be called concurrently; what
// is asked for at the same time is read in one round trip. It fails with ErrOtherTenant if the
// payment belongs to another tenant, ErrClosed, or an error that [Retryable] tells about.
func (s *Store) Load(ctx context.Context, key Key) (Loaded, error) {
	l := &lookup{key: key, done: make(chan error, 1)}
	if err := s.awaitLookup(ctx, l); err != nil {
		return Loaded{}, fmt.Errorf("load payment %s: %w", key.PaymentID, err)
	}
	return l.loaded, nil
}

func (s *Store) awaitLookup(ctx context.Context, l *lookup) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.loads.add(l); err != nil {
		return err
	}
	select {
	case err := <-l.done:
		if err != nil {
			return err
		}
		return l.decode()
	case <-ctx.Done():
		s.loads.drop(l)
		return ctx.Err()
	}
}

// loadBatches is the life of one loader.
func (s *Store) loadBatches() {
	for {
		batch := s.loads.take()
		if batch == nil {
			return
		}
		s.loadBatch(batch)
		s.loads.release(batch)
	}
}

// loadBatch sees to it that every lookup of the batch gets its answer.
func (s *Store) loadBatch(batch []*lookup) {
	for failures := 0; ; {
		err := s.tryLoad(batch)
		if err == nil {
			break
		}
		failures++
		switch {
		case failures < triesMax && Retryable(err):
			s.log.Warn("load again", zap.Int("payments", len(batch)), zap.Int("failures", failures), zap.Error(err))
			pause(failures)
			continue
		case len(batch) > 1 && isolates(err):
			half := len(batch) / 2
			s.loadBatch(batch[:half])
			s.loadBatch(batch[half:])
		default:
			for _, l := range batch {
				l.settle(err)
			}
		}
		return
	}
	for _, l := range batch {
		l.settle(nil)
	}
}

// tryLoad reads all rows in one round trip and one statement, so that state and claims are of the
// same moment.
func (s *Store) tryLoad(lookups []*lookup) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	pgarray.Register(conn.Conn().TypeMap())
	var batch pgx.Batch
	batch.Queue(beginSQL)
	batch.Queue(settingsSQL)
	batch.Queue(loadSQL,
		pgarray.UUIDs(lookups, func(l *lookup) uuid.UUID { return l.key.PaymentID }),
		pgarray.Texts(lookups, func(l *lookup) string { return l.key.Tenant }),
		pgarray.Texts(lookups, func(l *lookup) string { return string(l.key.Command) }),
		pgarray.Texts(lookups, func(l *lookup) string { return l.key.IdempotencyKey }),
		pgarray.Bytes(lookups, func(l *lookup) []byte { return l.key.ConflictHash }),
	).Query(func(rows pgx.Rows) error { return scanLookups(rows, lookups) })
	batch.Queue(commitSQL)
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return rollback(ctx, conn.Conn(), err)
	}
	return nil
}

// worthAnotherTry reports whether the whole batch may be tried again at once. A commit whose
// outcome is unknown may not: its callers have to look.
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
