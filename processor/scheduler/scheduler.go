// Package scheduler turns due timers into commands, so that a retry is a message like any other.
//
// A [Scheduler] fires the rows of timers as resume commands, through the outbox, and finds
// operations that no worker is at any more. It decides nothing: a worker handles the command. A
// timer that fires twice does no harm, but a timer whose command still waits does not fire again:
// while the workers are away, the stream of commands holds one resume for each timer that is due.
package scheduler

import (
	"cmp"
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/seed-384b1f8a/tender/processor/retry"
	"github.com/seed-384b1f8a/tender/processor/store"
)

// Config tunes a Scheduler. The zero value of a field means its default.
type Config struct {
	// PollInterval is the time between two looks for due timers; a timer is late by this much at
	// most. Default 250 ms.
	PollInterval time.Duration
	// BatchMax is the number of timers fired in one transaction; default 500.
	BatchMax int
	// Lease is the time for which a fired timer may go unanswered; default 30 s. After it the
	// timer is fired again as soon as its command is proven not to wait any more.
	Lease time.Duration
	// SweepInterval is the time between two looks for abandoned operations; default 30 s. SweepAge
	// is the time for which nothing must have happened to one; default 5 min, and never less than
	// Policy.SentStale of the workers.
	SweepInterval, SweepAge time.Duration
}

func (c Config) withDefaults() Config {
	c.PollInterval = cmp.Or(c.PollInterval, 250*time.Millisecond)
	c.BatchMax = cmp.Or(c.BatchMax, 500)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.SweepInterval = cmp.Or(c.SweepInterval, 30*time.Second)
	c.SweepAge = cmp.Or(c.SweepAge, 5*time.Minute)
	return c
}

// Backlog says how far the workers are with the stream of commands; see bus.Backlog.
type Backlog interface {
	// Last returns the last sequence of the stream.
	Last(ctx context.Context) (uint64, error)
	// Handled returns a sequence at or below which every command was settled.
	Handled(ctx context.Context) (uint64, error)
}

// Scheduler turns due timers into resume commands on the bus, through the outbox. Any number may
// run: each timer is fired by one of them.
type Scheduler struct {
	store   *store.Store
	backlog Backlog
	cfg     Config
	log     *zap.Logger
	now     func() time.Time
	// swept is the time of the last sweep.
	swept           time.Time
	firing, proving retry.Outage
}

// New returns a scheduler that has not begun.
func New(s *store.Store, backlog Backlog, cfg Config, log *zap.Logger, now func() time.Time) *Scheduler {
	return &Scheduler{
		store: s, backlog: backlog, cfg: cfg.withDefaults(), log: log, now: now,
		firing: retry.Outage{Log: log, Failing: "cannot fire timers; retrying", Over: "firing timers again"},
		proving: retry.Outage{
			Log: log, Failing: "cannot tell which resume commands still wait; retrying", Over: "resume commands are told again",
		},
	}
}

// Run fires timers until ctx is done; it always returns nil. PostgreSQL may be away at any time:
// what is due stays due. So may NATS: until it is back, no timer fires a second time.
func (s *Scheduler) Run(ctx context.Context) error {
	// Beside the firing, which must not wait for NATS.
	var proving sync.WaitGroup
	defer proving.Wait()
	proving.Go(func() {
		for ctx.Err() == nil {
			s.proving.Note(ctx, s.prove(ctx, s.now()))
			retry.Sleep(ctx, s.cfg.Lease/4)
		}
	})
	for ctx.Err() == nil {
		rest, err := s.tick(ctx)
		s.firing.Note(ctx, err)
		retry.Sleep(ctx, rest)
	}
	return nil
}

// tick fires one batch, and says how long to rest before the next.
func (s *Scheduler) tick(ctx context.Context) (rest time.Duration, err error) {
	now := s.now()
	if now.Sub(s.swept) >= s.cfg.SweepInterval {
		found, err := s.store.SweepStale(ctx, now, s.cfg.SweepAge, s.cfg.BatchMax)
		if err != nil {
			return s.cfg.PollInterval, err
		}
		if found > 0 {
			s.log.Warn("operations were left without an answer: resuming them", zap.Int("payments", found))
		}
		s.swept = now
	}
	fired, next, err := s.store.FireTimers(ctx, now, s.cfg.BatchMax, s.cfg.Lease)
	switch {
	case err != nil || next.IsZero():
		return s.cfg.PollInterval, err
	case fired == s.cfg.BatchMax:
		return 0, nil
	default:
		// Other processes may commit timers meanwhile that are due earlier, hence never longer than
		// the interval.
		return min(max(next.Sub(now), 0), s.cfg.PollInterval), nil
	}
}

// prove finds the fired timers whose resumes do not wait any more, so that they may fire again. The
// steps are those of the store; their order is the proof.
func (s *Scheduler) prove(ctx context.Context, now time.Time) error {
	for {
		published, err := s.store.PublishedResumes(ctx, now, s.cfg.BatchMax)
		if err != nil {
			return err
		}
		if len(published) == 0 {
			break
		}
		last, err := s.backlog.Last(ctx)
		if err != nil {
			return err
		}
		if err := s.store.BoundResumes(ctx, published, last); err != nil {
			return err
		}
		if len(published) < s.cfg.BatchMax {
			break
		}
	}
	known, err := s.store.ResumeBounds(ctx)
	if err != nil || known.Highest == 0 {
		return err
	}
	handled := store.Handled{Known: known}
	if handled.Upto, err = s.backlog.Handled(ctx); err != nil {
		return err
	}
	if handled.Last, err = s.backlog.Last(ctx); err != nil {
		return err
	}
	if known.Lowest > handled.Upto && known.Highest <= handled.Last {
		return nil
	}
	for {
		n, err := s.store.HandledResumes(ctx, handled, s.cfg.BatchMax)
		if err != nil || n < s.cfg.BatchMax {
			return err
		}
	}
}
