package store

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/outbox"
)

// Config tunes a Store. Zero values mean the defaults.
type Config struct {
	// Committers is how many batches of changes may be under way at once; 0 means 4. Each uses a connection of the pool.
	Committers int
	// Loaders is the same for loads; 0 means 2.
	Loaders int
	// BatchMax is the largest number of requests in one batch; 0 means 512.
	BatchMax int
	// Timeout bounds one try at a batch, connecting included; 0 means 15 s.
	Timeout time.Duration
	// Committed is called after every transaction with what it wrote to the outbox, before the callers of its changes have
	// their answers; it may be nil. It must not wait for anything. See [outbox.Relay.Offer].
	Committed func(*outbox.Appended)
}

func (c Config) withDefaults() Config {
	defaults := Config{Committers: 4, Loaders: 2, BatchMax: 512, Timeout: 15 * time.Second}
	if c.Committers == 0 {
		c.Committers = defaults.Committers
	}
	if c.Loaders == 0 {
		c.Loaders = defaults.Loaders
	}
	if c.BatchMax == 0 {
		c.BatchMax = defaults.BatchMax
	}
	if c.Timeout == 0 {
		c.Timeout = defaults.Timeout
	}
	if c.Committed == nil {
		c.Committed = func(*outbox.Appended) {}
	}
	return c
}

// commitsBesideLeast is from how many waiting changes on a transaction is worth its own costs while another is under way. The
// first change of a transaction takes some ten times as long as each further one.
const commitsBesideLeast = 32

// batchSizeMax bounds the bytes of the changes written in one transaction.
const batchSizeMax = 8 << 20

// Store reads and writes payments. Its methods may be called concurrently, and several stores, in one process or in
// many, may work on the same database.
type Store struct {
	pool *pgxpool.Pool
	cfg  Config
	log  *zap.Logger

	commits *queue[*entry]
	loads   *queue[*lookup]
	working sync.WaitGroup
	// contests is how many batches are yet to be written with a look at who lost; see contestsAfterOne.
	contests atomic.Int64
}

// New returns a store on a database that was migrated, with its goroutines started. The pool stays the caller's: it is
// to be closed after the store, and should hold more connections than Committers and Loaders together.
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

// Close waits until what was enqueued has its answer, which may take a few times Config.Timeout if the database is
// gone, and ends the goroutines. From then on Commit and Load return ErrClosed; what needs no queue goes on working.
// Close may be called again.
func (s *Store) Close() {
	s.commits.close()
	s.loads.close()
	s.working.Wait()
}
