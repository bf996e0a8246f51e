// Package scheduler turns due timers into commands, so that a retry is a message like any other.
//
// A [Scheduler] fires the rows of timers as resume commands, through the outbox, and finds
// operations that no worker is at any more. It decides nothing: a worker handles the command. A
// timer that fires twice does no harm.
package scheduler

import (
	"cmp"
	"context"
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
	// Lease is the time that a fired timer may go unanswered before it is fired again; default 30
	// s.
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

// Scheduler turns due timers into resume commands on the bus, through the outbox. Any number may
// run: each timer is fired by one of them.
type Scheduler struct {
	store *store.Store
	cfg   Config
	log   *zap.Logger
	now   func() time.Time
	// swept is the time of the last sweep.
	swept  time.Time
	outage retry.Outage
}

// New returns a scheduler that has not begun.
func New(s *store.Store, cfg Config, log *zap.Logger, now func() time.Time) *Scheduler {
	return &Scheduler{
		store: s, cfg: cfg.withDefaults(), log: log, now: now,
		outage: retry.Outage{Log: log, Failing: "cannot fire timers; retrying", Over: "firing timers again"},
	}
}

// Run fires timers until ctx is done; it always returns nil. PostgreSQL may be away at any time:
// what is due stays due.
func (s *Scheduler) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		rest, err := s.tick(ctx)
		s.outage.Note(ctx, err)
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
