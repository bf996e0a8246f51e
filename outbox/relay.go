package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// batchSizeMax is the most messages a NATS server takes in one atomic batch by default.
const batchSizeMax = 1000

// unansweredMax is a limit on unanswered messages that the lanes cannot reach within a
// PublishTimeout, so that publishing never waits.
const unansweredMax = 100_000

// ErrRunning is returned by Run when the same Relay already runs.
var ErrRunning = errors.New("outbox relay is already running")

// RelayConfig tunes a Relay. The zero value of each field means its default.
type RelayConfig struct {
	// BatchMax is how many rows a lane reads and publishes at once: 1 to 1000, the default.
	BatchMax int
	// Lanes is how many batches are under way at the same time, 1 to Partitions, default 2. The
	// partitions are dealt out to the lanes, so that one lane reads and deletes while another
	// publishes. Each lane uses one connection of the pool, and only while it talks to PostgreSQL.
	Lanes int
	// PollInterval is how long an idle relay rests before it looks for rows that no notification
	// told of; default 500 ms. A busy relay does not rest at all, one that just was busy a few
	// milliseconds.
	PollInterval time.Duration
	// LockRetryInterval is how often the partitions owned by others are tried, and the connection
	// that holds the own ones is checked; default 1 s. It bounds how soon a standby takes over.
	// With five seconds more it is the time for which a relay publishes without a new
	// confirmation: this and PublishTimeout together have to be shorter than the stream's
	// Duplicates window.
	LockRetryInterval time.Duration
	// PublishTimeout bounds the wait for one acknowledgement of JetStream; default 5 s.
	PublishTimeout time.Duration
	// DrainTimeout bounds how long Run goes on with the batch in flight after its context is done;
	// default 10 s. Giving the work up may take some seconds more when PostgreSQL does not answer.
	DrainTimeout time.Duration
	// RetryInitial and RetryMax bound the pause after a failure, which doubles from the one to the
	// other with jitter; defaults 50 ms and 2 s. Failures of the broker and the database are
	// retried until Run's context is done.
	RetryInitial, RetryMax time.Duration
	// StreamKey names the stream that takes a subject. Rows with one key go into one atomic batch,
	// which JetStream only takes for a single stream; the name itself means nothing. Default: the
	// first two tokens of the subject. It is called concurrently.
	StreamKey func(subject string) string
}

// Relay publishes the rows of one outbox table to JetStream. Run as many as there are processes:
// each partition has one owner at a time, the others stand by. Its methods may be called
// concurrently.
type Relay struct {
	pool *pgxpool.Pool
	js   jetstream.JetStream
	// async publishes what does not go out in atomic batches, over the connection of js.
	async jetstream.JetStream
	cfg   RelayConfig
	log   *zap.Logger
	now   func() time.Time

	started  atomic.Bool
	owned    atomic.Int64
	counters counters
	mu       sync.Mutex
	streams  map[string]*stream // by StreamKey; guarded by mu
	lanes    []*lane            // those that run; guarded by mu
}

// counters only ever rise.
type counters struct {
	published, repeated, parked, batches, singles, offered atomic.Int64
}

// Stats is what a Relay did since it was made. The counters only rise; PartitionsOwned is the
// present state.
type Stats struct {
	Published       int64 // messages the stream stored
	Repeated        int64 // messages the stream already had: published before, by this relay or another
	Parked          int64 // rows parked
	Batches         int64 // atomic batches acknowledged
	Singles         int64 // messages acknowledged outside an atomic batch, repeated ones included
	Offered         int64 // messages that were offered and not read from the table
	PartitionsOwned int   // of Partitions; 0 while standing by
}

// NewRelay returns a relay that reads through pool and publishes through js. It connects to nothing
// yet. The relay opens one connection beside the pool, with the pool's settings, to own its
// partitions: these must reach PostgreSQL itself and not a pooler that shares sessions. A nil log
// discards. The error names every field of cfg that is out of range.
func NewRelay(pool *pgxpool.Pool, js jetstream.JetStream, cfg RelayConfig, log *zap.Logger) (*Relay, error) {
	if pool == nil || js == nil {
		return nil, errors.New("outbox relay: pool and js are required")
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("outbox relay: %w", err)
	}
	if log == nil {
		log = zap.NewNop()
	}
	cfg = cfg.withDefaults()
	async, err := jetstream.New(js.Conn(),
		jetstream.WithPublishAsyncTimeout(cfg.PublishTimeout), jetstream.WithPublishAsyncMaxPending(unansweredMax))
	if err != nil {
		return nil, fmt.Errorf("outbox relay: %w", err)
	}
	return &Relay{pool: pool, js: js, async: async, cfg: cfg, log: log, now: time.Now, streams: make(map[string]*stream)}, nil
}

// Stats returns the present counters.
func (r *Relay) Stats() Stats {
	return Stats{
		Published:       r.counters.published.Load(),
		Repeated:        r.counters.repeated.Load(),
		Parked:          r.counters.parked.Load(),
		Batches:         r.counters.batches.Load(),
		Singles:         r.counters.singles.Load(),
		Offered:         r.counters.offered.Load(),
		PartitionsOwned: int(r.owned.Load()),
	}
}

// Run relays until ctx is done, then finishes the batch in flight — its acknowledgement and the
// deletion of its rows — within DrainTimeout, gives its partitions up and returns nil. PostgreSQL
// and NATS may be unreachable when it starts and at any time later; it waits for them. The only
// errors are ErrRunning and one that wraps nats.ErrConnectionClosed, when the connection is closed
// for good under a relay that is still to run.
func (r *Relay) Run(ctx context.Context) error {
	if !r.started.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.started.Store(false)

	retry := r.newBackOff()
	outage := outage{log: r.log, what: "outbox: owning partitions"}
	for ctx.Err() == nil {
		err := r.ownAndRelay(ctx, func() { retry.Reset(); outage.over() })
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, nats.ErrConnectionClosed):
			return fmt.Errorf("relay outbox: %w", err)
		}
		outage.failed(err)
		rest(ctx, nil, retry.NextBackOff())
	}
	return nil
}

// Offer hands the rows of a committed transaction of the same process to the relay, which then
// publishes them without reading them back. Offer the stretches of a key in the order of their
// commits. It never waits. Rows that the relay cannot use are published all the same, once it reads
// them: rows of partitions that it does not own, stretches that do not follow the rows it published
// of their keys, and more rows than it keeps up with.
func (r *Relay) Offer(a *Appended) {
	lanes := r.running()
	if len(lanes) == 0 {
		return
	}
	nudged := make([]bool, len(lanes))
	rows := a.rows
	for i := range a.stretches {
		stretch := &a.stretches[i]
		its := rows[:len(stretch.Messages)]
		rows = rows[len(its):]
		partition := partitionOf(stretch.Key)
		at := int(partition) % len(lanes)
		switch l := lanes[at]; {
		case !l.owns(partition):
		case a.known && l.shelf.offer(stretch, its):
			nudged[at] = nudged[at] || len(its) > 0
		case len(its) > 0:
			l.signal()
		}
	}
	for at, l := range lanes {
		if nudged[at] {
			l.nudge()
		}
	}
}

// running returns the lanes that run.
func (r *Relay) running() []*lane {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lanes
}

func (r *Relay) setLanes(lanes []*lane) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lanes = lanes
}

// stream returns what the relay learned about the stream of a key.
func (r *Relay) stream(key string) *stream {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.streams[key]
	if s == nil {
		s = &stream{key: key, log: r.log, sizeMax: r.cfg.BatchMax}
		r.streams[key] = s
	}
	return s
}

func (r *Relay) newBackOff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(r.cfg.RetryInitial),
		backoff.WithMaxInterval(r.cfg.RetryMax),
		backoff.WithMultiplier(2),
		backoff.WithMaxElapsedTime(0), // never give up
	)
}

// rest returns when d has passed, wake is signalled (it may be nil) or ctx is done.
func rest(ctx context.Context, wake <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

func (c RelayConfig) validate() error {
	var errs []error
	if c.BatchMax < 0 || c.BatchMax > batchSizeMax {
		errs = append(errs, fmt.Errorf("BatchMax %d is not within 0 to %d", c.BatchMax, batchSizeMax))
	}
	if c.Lanes < 0 || c.Lanes > Partitions {
		errs = append(errs, fmt.Errorf("lanes %d is not within 0 to %d", c.Lanes, Partitions))
	}
	for name, d := range map[string]time.Duration{
		"PollInterval": c.PollInterval, "LockRetryInterval": c.LockRetryInterval, "PublishTimeout": c.PublishTimeout,
		"DrainTimeout": c.DrainTimeout, "RetryInitial": c.RetryInitial, "RetryMax": c.RetryMax,
	} {
		if d < 0 {
			errs = append(errs, fmt.Errorf("%s %s is negative", name, d))
		}
	}
	return errors.Join(errs...)
}

func (c RelayConfig) withDefaults() RelayConfig {
	c.BatchMax = cmp.Or(c.BatchMax, batchSizeMax)
	c.Lanes = cmp.Or(c.Lanes, 2)
	c.PollInterval = cmp.Or(c.PollInterval, 500*time.Millisecond)
	c.LockRetryInterval = cmp.Or(c.LockRetryInterval, time.Second)
	c.PublishTimeout = cmp.Or(c.PublishTimeout, 5*time.Second)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	c.RetryInitial = cmp.Or(c.RetryInitial, 50*time.Millisecond)
	c.RetryMax = max(cmp.Or(c.RetryMax, 2*time.Second), c.RetryInitial)
	if c.StreamKey == nil {
		c.StreamKey = firstTwoTokens
	}
	return c
}

func firstTwoTokens(subject string) string {
	first := strings.IndexByte(subject, '.')
	if first < 0 {
		return subject
	}
	second := strings.IndexByte(subject[first+1:], '.')
	if second < 0 {
		return subject
	}
	return subject[:first+1+second]
}

// outage logs the beginning and the end of a run of failures instead of each one. One goroutine
// uses it.
type outage struct {
	log      *zap.Logger
	what     string
	failures int
}

func (o *outage) failed(err error) {
	if o.failures++; o.failures == 1 {
		o.log.Warn(o.what+" fails, retrying until it works", zap.Error(err))
	}
}

func (o *outage) over() {
	if o.failures > 0 {
		o.log.Info(o.what+" works again", zap.Int("failures", o.failures))
	}
	o.failures = 0
}
